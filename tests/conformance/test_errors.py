"""What the client raises: the class by status, the server's sentence, its param and its code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest

from tests.conformance.conftest import Talk, begin

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")

Request = Callable[[Talk], object]
MODEL_ERROR = "The requested model 'no-such' does not exist."


def _assistant(**fields: Any) -> Request:
    return lambda talk: talk.client.beta.assistants.create(**{"model": "gpt-4o", **fields})


def _message(**fields: Any) -> Request:
    body = {"role": "user", "content": "?", **fields}
    return lambda talk: talk.client.beta.threads.messages.create(talk.thread_id, **body)


def _run(**fields: Any) -> Request:
    return lambda talk: talk.client.beta.threads.runs.create(**{**talk.ids, **fields})


def _function(**fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": fields}


BAD_REQUESTS: dict[str, tuple[Request, str, str | None, str | None]] = {
    "missing": (
        lambda talk: talk.client.post("/assistants", cast_to=object, body={}),
        "Missing required parameter: 'model'.",
        "model",
        "missing_required_parameter",
    ),
    "unknown field": (
        _assistant(extra_body={"file_idz": []}),
        "Unknown parameter: 'file_idz'.",
        "file_idz",
        "unknown_parameter",
    ),
    "wrong type": (
        _assistant(metadata={"key": {}}),
        "Invalid type for 'metadata.key': expected a string, but got an object instead.",
        "metadata.key",
        "invalid_type",
    ),
    "enum": (
        _assistant(tools=[{"type": "magic"}]),
        "Invalid value: 'magic'. Supported values are: "
        "'code_interpreter', 'function', and 'file_search'.",
        "tools[0].type",
        "invalid_value",
    ),
    "id": (
        lambda talk: talk.client.beta.threads.retrieve("undefined"),
        "Invalid 'thread_id': 'undefined'. Expected an ID that begins with 'thread'.",
        "thread_id",
        "invalid_value",
    ),
    "pattern": (
        _assistant(tools=[_function(name="a b")]),
        "Invalid 'tools[0].function.name': string does not match pattern. "
        "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
        "tools[0].function.name",
        "invalid_value",
    ),
    "empty string": (
        _assistant(tools=[_function(name="")]),
        "Invalid 'tools[0].function.name': empty string. "
        "Expected a string with minimum length 1, but got an empty string instead.",
        "tools[0].function.name",
        "empty_string",
    ),
    "long string": (
        _assistant(instructions="x" * 256_001),
        "Invalid 'instructions': string too long. Expected a string with maximum length 256000, "
        "but got a string with length 256001 instead.",
        "instructions",
        "string_above_max_length",
    ),
    "long array": (
        _assistant(tools=[{"type": "code_interpreter"}] * 129),
        "Invalid 'tools': array too long. Expected an array with maximum length 128, "
        "but got an array with length 129 instead.",
        "tools",
        "array_above_max_length",
    ),
    "empty array": (
        _message(content=[]),
        "Invalid 'content': empty array. Expected an array with minimum length 1, "
        "but got an empty array instead.",
        "content",
        "empty_array",
    ),
    "integer": (
        _run(max_prompt_tokens=1),
        "Invalid 'max_prompt_tokens': integer below minimum value. "
        "Expected a value >= 256, but got 1 instead.",
        "max_prompt_tokens",
        "integer_below_min_value",
    ),
    "decimal": (
        _run(temperature=200),
        "Invalid 'temperature': decimal above maximum value. "
        "Expected a value <= 2, but got 200 instead.",
        "temperature",
        "decimal_above_max_value",
    ),
    "metadata": (
        lambda talk: talk.client.beta.threads.create(metadata={str(n): "" for n in range(17)}),
        "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, "
        "but got an object with 17 properties instead.",
        "metadata",
        "object_above_max_properties",
    ),
    "role": (
        _message(role="system"),
        "Invalid value: 'system'. Supported values are: 'user' and 'assistant'.",
        "role",
        "invalid_value",
    ),
    "file in a body": (
        _message(attachments=[{"file_id": "file-none", "tools": [{"type": "file_search"}]}]),
        "No such File object: file-none",
        "attachments",
        None,
    ),
    "purpose": (
        lambda talk: talk.client.files.create(file=("a.txt", b"x"), purpose="magic"),  # type: ignore[arg-type]
        "'magic' is not one of ['fine-tune', 'assistants', 'batch', 'user_data', 'vision', "
        "'evals'] - 'purpose'",
        "purpose",
        None,
    ),
}


@pytest.fixture
def talk(client: openai.OpenAI) -> Talk:
    return begin(client)


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_bad_requests(talk: Talk, case: str) -> None:
    request, message, param, code = BAD_REQUESTS[case]
    with pytest.raises(openai.BadRequestError) as caught:
        request(talk)
    error = caught.value
    assert error.body == {
        "message": message,
        "type": "invalid_request_error",
        "param": param,
        "code": code,
    }
    assert (error.status_code, error.param, error.code) == (400, param, code)
    assert error.request_id is not None and error.request_id.startswith("req_")


NOT_FOUND: dict[str, tuple[Request, str, str | None]] = {
    "assistant": (
        lambda talk: talk.client.beta.assistants.retrieve("asst_x"),
        "No assistant found with id 'asst_x'.",
        None,
    ),
    "assistant of a run": (
        _run(assistant_id="asst_x"),
        "No assistant found with id 'asst_x'.",
        None,
    ),
    "thread": (
        lambda talk: talk.client.beta.threads.retrieve("thread_x"),
        "No thread found with id 'thread_x'.",
        None,
    ),
    "message": (
        lambda talk: talk.client.beta.threads.messages.retrieve("msg_x", thread_id=talk.thread_id),
        "No message found with id 'msg_x'.",
        None,
    ),
    "run": (
        lambda talk: talk.client.beta.threads.runs.retrieve("run_x", thread_id=talk.thread_id),
        "No run found with id 'run_x'.",
        None,
    ),
    "file": (
        lambda talk: talk.client.files.retrieve("file-x"),
        "No such File object: file-x",
        "id",
    ),
    "model": (
        lambda talk: talk.client.models.retrieve("no-such"),
        "The model 'no-such' does not exist",
        "model",
    ),
}


@pytest.mark.parametrize("case", NOT_FOUND)
def test_what_is_not_there(talk: Talk, case: str) -> None:
    request, message, param = NOT_FOUND[case]
    with pytest.raises(openai.NotFoundError) as caught:
        request(talk)
    code = "model_not_found" if case == "model" else None
    assert caught.value.body == {
        "message": message,
        "type": "invalid_request_error",
        "param": param,
        "code": code,
    }


def test_a_step_is_looked_for_in_its_run(talk: Talk) -> None:
    runs = talk.client.beta.threads.runs
    run = runs.create_and_poll(**talk.ids)
    with pytest.raises(openai.NotFoundError, match="No run step found with id 'step_x'"):
        runs.steps.retrieve("step_x", thread_id=talk.thread_id, run_id=run.id)


def test_objects_of_another_thread_are_not_found(talk: Talk) -> None:
    other = begin(talk.client)
    threads = talk.client.beta.threads
    run = threads.runs.create_and_poll(**talk.ids)
    (message,) = threads.messages.list(talk.thread_id, run_id=run.id).data
    with pytest.raises(openai.NotFoundError, match=f"No run found with id '{run.id}'"):
        threads.runs.retrieve(run.id, thread_id=other.thread_id)
    with pytest.raises(openai.NotFoundError, match=f"No message found with id '{message.id}'"):
        threads.messages.retrieve(message.id, thread_id=other.thread_id)


@pytest.mark.parametrize("request_", [_assistant(model="no-such"), _run(model="no-such")])
def test_a_model_nobody_knows(talk: Talk, request_: Request) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        request_(talk)
    assert (caught.value.param, caught.value.code) == ("model", "model_not_found")
    assert caught.value.body["message"].startswith(MODEL_ERROR)  # type: ignore[index]


def test_a_model_of_another_kind(talk: Talk) -> None:
    name = "text-embedding-3-small"
    with pytest.raises(openai.BadRequestError) as caught:
        talk.client.beta.assistants.create(model=name)
    assert caught.value.body == {
        "message": f"The requested model '{name}' cannot be used with the Assistants API.",
        "type": "invalid_request_error",
        "param": "model",
        "code": "unsupported_model",
    }


def test_a_chat_model_nobody_knows(client: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "Hi"}]
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="no-such", messages=messages)
    assert (caught.value.type, caught.value.code) == ("invalid_request_error", "model_not_found")
    message = "The model `no-such` does not exist or you do not have access to it."
    assert caught.value.body["message"].startswith(message)  # type: ignore[index]


def test_a_route_nobody_serves(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.fine_tuning.jobs.list()
    assert caught.value.code == "unknown_url"
    assert caught.value.body["message"] == (  # type: ignore[index]
        "Unknown request URL: GET /v1/fine_tuning/jobs. Please check the URL for typos, or see "
        "the docs at https://platform.openai.com/docs/api-reference/."
    )
