"""Every validation row of the contract's error catalogue, word for word."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from localassist.errors import InvalidRequest, UnsupportedParameter
from localassist.schemas.assistants import AssistantCreate, AssistantUpdate
from localassist.schemas.base import Body
from localassist.schemas.chat import ChatCompletionCreate
from localassist.schemas.errors import ErrorEnvelope, parse_body
from localassist.schemas.messages import MessageCreate
from localassist.schemas.runs import RunCreate, SubmitToolOutputs, ThreadAndRunCreate
from localassist.schemas.threads import ThreadCreate


def rejected(body_type: type[Body], body: Any) -> InvalidRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(InvalidRequest) as caught:
        parse_body(body_type, raw)
    return caught.value


def assistant(**fields: Any) -> dict[str, Any]:
    return {"model": "m", **fields}


def function(**fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": fields}


def store(**fields: Any) -> dict[str, Any]:
    return {"file_search": {"vector_stores": [fields]}}


def static_chunks(size: int, overlap: int) -> dict[str, Any]:
    sizes = {"max_chunk_size_tokens": size, "chunk_overlap_tokens": overlap}
    return store(chunking_strategy={"type": "static", "static": sizes})


CHUNKS = "tool_resources.file_search.vector_stores[0].chunking_strategy.static"
LONG_KEY = "k" * 70

CATALOGUE: list[tuple[type[Body], Any, str, str | None, str | None]] = [
    (
        RunCreate,
        {},
        "Missing required parameter: 'assistant_id'.",
        "assistant_id",
        "missing_required_parameter",
    ),
    (
        AssistantCreate,
        assistant(tools=[{"type": "function"}]),
        "Missing required parameter: 'tools[0].function'.",
        "tools[0].function",
        "missing_required_parameter",
    ),
    (
        AssistantCreate,
        assistant(tools=[{}]),
        "Missing required parameter: 'tools[0].type'.",
        "tools[0].type",
        "missing_required_parameter",
    ),
    (
        AssistantCreate,
        assistant(file_idz=[]),
        "Unknown parameter: 'file_idz'.",
        "file_idz",
        "unknown_parameter",
    ),
    (
        AssistantCreate,
        assistant(tools=[{"type": "code_interpreter", "function": {}}]),
        "Unknown parameter: 'tools[0].function'.",
        "tools[0].function",
        "unknown_parameter",
    ),
    (
        AssistantCreate,
        assistant(metadata={"key": {}}),
        "Invalid type for 'metadata.key': expected a string, but got an object instead.",
        "metadata.key",
        "invalid_type",
    ),
    (
        MessageCreate,
        {"role": "user", "content": 5},
        "Invalid type for 'content': expected one of a string or an array of objects, "
        "but got an integer instead.",
        "content",
        "invalid_type",
    ),
    (
        MessageCreate,
        {"role": "user", "content": [{"type": "text", "text": {"value": "v"}}]},
        "Invalid type for 'content[0].text': expected a string, but got an object instead.",
        "content[0].text",
        "invalid_type",
    ),
    (
        AssistantCreate,
        assistant(tools=[function(name="f", parameters=[])]),
        "Invalid type for 'tools[0].function.parameters': expected an object, "
        "but got an array instead.",
        "tools[0].function.parameters",
        "invalid_type",
    ),
    (
        AssistantUpdate,
        {"model": None},
        "Invalid type for 'model': expected a string, but got null instead.",
        "model",
        "invalid_type",
    ),
    (
        RunCreate,
        {"assistant_id": "a", "parallel_tool_calls": 1},
        "Invalid type for 'parallel_tool_calls': expected a boolean, but got an integer instead.",
        "parallel_tool_calls",
        "invalid_type",
    ),
    (
        RunCreate,
        {"assistant_id": "a", "max_prompt_tokens": True},
        "Invalid type for 'max_prompt_tokens': expected an integer, but got a boolean instead.",
        "max_prompt_tokens",
        "invalid_type",
    ),
    (
        RunCreate,
        {"assistant_id": "a", "max_prompt_tokens": "256"},
        "Invalid type for 'max_prompt_tokens': expected an integer, but got a string instead.",
        "max_prompt_tokens",
        "invalid_type",
    ),
    (
        AssistantCreate,
        assistant(temperature=False),
        "Invalid type for 'temperature': expected a decimal, but got a boolean instead.",
        "temperature",
        "invalid_type",
    ),
    (
        RunCreate,
        {"assistant_id": "a", "tool_choice": 7},
        "Invalid type for 'tool_choice': expected one of a string or an object, "
        "but got an integer instead.",
        "tool_choice",
        "invalid_type",
    ),
    (
        ThreadAndRunCreate,
        {"assistant_id": "a", "thread": []},
        "Invalid type for 'thread': expected an object, but got an array instead.",
        "thread",
        "invalid_type",
    ),
    (
        AssistantCreate,
        assistant(tools=[{"type": "web_search"}]),
        "Invalid value: 'web_search'. Supported values are: "
        "'code_interpreter', 'function', and 'file_search'.",
        "tools[0].type",
        "invalid_value",
    ),
    (
        ThreadCreate,
        {"messages": [{"role": "system", "content": "x"}]},
        "Invalid value: 'system'. Supported values are: 'user' and 'assistant'.",
        "messages[0].role",
        "invalid_value",
    ),
    (
        RunCreate,
        {"assistant_id": "a", "tool_choice": "any"},
        "Invalid value: 'any'. Supported values are: 'none', 'auto', and 'required'.",
        "tool_choice",
        "invalid_value",
    ),
    (
        AssistantCreate,
        assistant(tools=[function(name="a b")]),
        "Invalid 'tools[0].function.name': string does not match pattern. "
        "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
        "tools[0].function.name",
        "invalid_value",
    ),
    (
        AssistantCreate,
        assistant(instructions="x" * 256_001),
        "Invalid 'instructions': string too long. Expected a string with maximum length 256000, "
        "but got a string with length 256001 instead.",
        "instructions",
        "string_above_max_length",
    ),
    (
        AssistantCreate,
        assistant(tools=[function(name="")]),
        "Invalid 'tools[0].function.name': empty string. Expected a string with minimum length 1, "
        "but got an empty string instead.",
        "tools[0].function.name",
        "empty_string",
    ),
    (
        AssistantCreate,
        assistant(tools=[{"type": "code_interpreter"}] * 129),
        "Invalid 'tools': array too long. Expected an array with maximum length 128, "
        "but got an array with length 129 instead.",
        "tools",
        "array_above_max_length",
    ),
    (
        MessageCreate,
        {"role": "user", "content": []},
        "Invalid 'content': empty array. Expected an array with minimum length 1, "
        "but got an empty array instead.",
        "content",
        "empty_array",
    ),
    (
        RunCreate,
        {"assistant_id": "a", "max_prompt_tokens": 1},
        "Invalid 'max_prompt_tokens': integer below minimum value. "
        "Expected a value >= 256, but got 1 instead.",
        "max_prompt_tokens",
        "integer_below_min_value",
    ),
    (
        AssistantCreate,
        assistant(tools=[{"type": "file_search", "file_search": {"max_num_results": 51}}]),
        "Invalid 'tools[0].file_search.max_num_results': integer above maximum value. "
        "Expected a value <= 50, but got 51 instead.",
        "tools[0].file_search.max_num_results",
        "integer_above_max_value",
    ),
    (
        AssistantCreate,
        assistant(temperature=200),
        "Invalid 'temperature': decimal above maximum value. "
        "Expected a value <= 2, but got 200 instead.",
        "temperature",
        "decimal_above_max_value",
    ),
    (
        AssistantCreate,
        assistant(top_p=-0.5),
        "Invalid 'top_p': decimal below minimum value. "
        "Expected a value >= 0, but got -0.5 instead.",
        "top_p",
        "decimal_below_min_value",
    ),
    (
        AssistantCreate,
        assistant(metadata={f"k{n}": "" for n in range(17)}),
        "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, "
        "but got an object with 17 properties instead.",
        "metadata",
        "object_above_max_properties",
    ),
    (
        AssistantCreate,
        assistant(metadata={LONG_KEY: ""}),
        f"Invalid property name in 'metadata': '{LONG_KEY}' is too long. Expected a string with "
        "maximum length 64, but got a string with length 70 instead.",
        "metadata",
        "string_above_max_length",
    ),
    (
        AssistantCreate,
        assistant(metadata={"note": "x" * 513}),
        "Invalid 'metadata.note': string too long. Expected a string with maximum length 512, "
        "but got a string with length 513 instead.",
        "metadata.note",
        "string_above_max_length",
    ),
    (
        AssistantCreate,
        assistant(
            tool_resources={"file_search": {"vector_store_ids": ["vs_1"], "vector_stores": [{}]}}
        ),
        "Invalid 'tool_resources.file_search.vector_store_ids': "
        "'vector_store_ids' and 'vector_stores' are mutually exclusive.",
        "tool_resources.file_search.vector_store_ids",
        "invalid_value",
    ),
    (
        AssistantCreate,
        assistant(tool_resources=static_chunks(5000, 0)),
        f"Invalid '{CHUNKS}.max_chunk_size_tokens': integer above maximum value. "
        "Expected a value <= 4096, but got 5000 instead.",
        f"{CHUNKS}.max_chunk_size_tokens",
        "invalid_value",
    ),
    (
        AssistantCreate,
        assistant(tool_resources=static_chunks(100, 51)),
        f"Invalid '{CHUNKS}.chunk_overlap_tokens': "
        "the overlap must not exceed half of 'max_chunk_size_tokens'.",
        f"{CHUNKS}.chunk_overlap_tokens",
        "invalid_value",
    ),
    (
        AssistantCreate,
        assistant(response_format={"type": "json_schema"}),
        "Missing required parameter: 'response_format.json_schema'.",
        "response_format.json_schema",
        "missing_required_parameter",
    ),
    (
        AssistantCreate,
        assistant(tools=[function(name="f"), function(name="f")]),
        "Invalid 'tools[1].function.name': duplicate function name 'f'. "
        "Each function in 'tools' must have its own name.",
        "tools[1].function.name",
        "invalid_value",
    ),
    (
        AssistantCreate,
        assistant(tools=[function(name="f", parameters={"type": "string"})]),
        "Invalid schema for function 'f': schema must be a JSON Schema of "
        "'type: \"object\"', got 'type: \"string\"'.",
        "tools[0].function.parameters",
        "invalid_function_parameters",
    ),
    (
        RunCreate,
        {"assistant_id": "a", "truncation_strategy": {"type": "last_messages"}},
        "Missing required parameter: 'truncation_strategy.last_messages'.",
        "truncation_strategy.last_messages",
        "missing_required_parameter",
    ),
]


@pytest.mark.parametrize(
    ("body_type", "body", "message", "param", "code"),
    CATALOGUE,
    ids=[f"{code}-{param}" for _, _, _, param, code in CATALOGUE],
)
def test_catalogue(
    body_type: type[Body], body: Any, message: str, param: str | None, code: str | None
) -> None:
    error = rejected(body_type, body)
    assert (error.message, error.param, error.code) == (message, param, code)
    assert (error.status, error.type) == (400, "invalid_request_error")


def test_only_the_first_error_in_field_order_is_reported() -> None:
    error = rejected(RunCreate, {"temperature": 9, "tools": 5, "assistant_id": "a"})
    assert error.param == "tools"


def test_a_flood_of_unknown_fields_is_one_mistake() -> None:
    body = assistant(**{f"field{n}": 0 for n in range(1000)})
    with pytest.raises(ValidationError) as caught:
        AssistantCreate.model_validate(body)
    assert caught.value.error_count() == 1
    assert rejected(AssistantCreate, body).message == "Unknown parameter: 'field0'."


def test_nested_flood_names_the_whole_path() -> None:
    flood = {f"field{n}": 0 for n in range(100)}
    error = rejected(ThreadAndRunCreate, {"assistant_id": "a", "thread": flood})
    assert error.param == "thread.field0"


def test_a_list_stops_at_its_first_wrong_item() -> None:
    body = {"tool_outputs": [1] * 1000}
    with pytest.raises(ValidationError) as caught:
        SubmitToolOutputs.model_validate(body)
    assert caught.value.error_count() == 1
    assert rejected(SubmitToolOutputs, body).param == "tool_outputs[0]"


def test_what_the_caller_wrote_is_not_repeated_by_the_megabyte() -> None:
    huge = "x" * 1_000_000
    for body in (assistant(tools=[{"type": huge}]), assistant(**{huge: 1})):
        error = rejected(AssistantCreate, body)
        assert len(error.message) < 1000
        assert len(error.param or "") < 1000


def test_a_key_that_looks_like_a_path_stays_one_step() -> None:
    error = rejected(AssistantCreate, assistant(metadata={"[key]": 1}))
    assert error.param == "metadata.[key]"


def test_what_is_legal_but_not_served_is_unsupported() -> None:
    raw = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}], "n": 2})
    with pytest.raises(UnsupportedParameter) as caught:
        parse_body(ChatCompletionCreate, raw.encode())
    assert (caught.value.param, caught.value.code) == ("n", "unsupported_parameter")


def test_absent_is_not_null() -> None:
    update = parse_body(AssistantUpdate, b'{"name": null, "tools": []}')
    assert update.model_fields_set == {"name", "tools"}


def test_integers_are_decimals_too() -> None:
    body = parse_body(AssistantCreate, b'{"model": "m", "temperature": 0, "top_p": 1}')
    assert (body.temperature, body.top_p) == (0, 1)


def test_no_body_is_an_empty_object() -> None:
    assert parse_body(ThreadCreate, b"") == ThreadCreate()
    assert parse_body(ThreadCreate, b" \r\n") == ThreadCreate()


def test_envelope_has_all_four_keys() -> None:
    envelope = ErrorEnvelope.of(InvalidRequest("no"))
    assert envelope.dump() == {
        "error": {
            "message": "no",
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        }
    }
