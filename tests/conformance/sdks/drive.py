"""Uses the API the way programs do, with whatever version of the official SDK is installed.

``python drive.py AREA`` asserts what a program relies on and prints ``ok``. Knows nothing of this
project; ``test_sdks`` starts a server for it and says what its model answers.
"""

from __future__ import annotations

import io
import json
import sys
import time
import warnings
from typing import Any

import openai
import pydantic
from openai import OpenAI

# 1.12 has no streams of runs.
Handler: Any = getattr(openai, "AssistantEventHandler", object)

warnings.simplefilter("ignore")
VERSION = tuple(int(part) for part in openai.__version__.split(".")[:2])
IS_V1 = VERSION < (1, 21)
ACTIVE = ("queued", "in_progress", "cancelling")
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
client = OpenAI(max_retries=0)
beta, threads, runs = client.beta, client.beta.threads, client.beta.threads.runs


# What types of the SDK declare and the hosted API has never sent.
NEVER_SENT = {("Run", ("expires_at",)), ("VectorStoreFileBatch", ("object",))}


def check(made: Any) -> Any:
    """Validate, not merely construct, what the SDK has made of an answer."""
    try:
        type(made).model_validate(json.loads(made.model_dump_json()))
    except pydantic.ValidationError as error:
        if any((type(made).__name__, one["loc"]) not in NEVER_SENT for one in error.errors()):
            raise
    return made


def ask(text: str = "How is the day?", **fields: Any) -> tuple[str, str]:
    """Ids of a thread with a question and of an assistant."""
    assistant = check(beta.assistants.create(model="gpt-4o", instructions="Be kind.", **fields))
    thread = check(threads.create(messages=[{"role": "user", "content": text}]))
    return thread.id, assistant.id


def wait(run: Any) -> Any:
    """The run at its next rest, by looking again and again."""
    while run.status in ACTIVE:
        time.sleep(0.02)
        run = runs.retrieve(run.id, thread_id=run.thread_id)
    return check(run)


def answer_of(thread_id: str) -> Any:
    return check(threads.messages.list(thread_id).data[0])


def steps_of(run: Any) -> list[Any]:
    found = runs.steps.list(run.id, thread_id=run.thread_id, order="asc")
    return [check(step) for step in found]


def refused(kind: type[openai.APIStatusError], work: Any) -> openai.APIStatusError:
    try:
        work()
    except kind as error:
        return error
    raise AssertionError(f"not refused with {kind.__name__}")


def objects() -> None:
    made = [
        beta.assistants.create(model="gpt-4o", name=f"A{i}", metadata={"i": str(i)}) for i in "123"
    ]
    newest = [one.id for one in reversed(made)]
    page = beta.assistants.list(limit=2)
    assert [one.id for one in page.data] == newest[:2] and page.has_next_page()
    assert page.get_next_page().data[0].id == newest[2]
    assert beta.assistants.list(limit=1, before=newest[1]).data[0].id == newest[0]
    changed = check(beta.assistants.update(made[0].id, name="B", metadata={"j": "2"}))
    assert changed.name == "B" and changed.metadata == {"i": "1", "j": "2"}
    assert check(beta.assistants.delete(made[0].id)).deleted is True
    thread = check(threads.create(metadata={"a": "1"}))
    assert check(threads.update(thread.id, metadata={"b": "2"})).metadata == {"a": "1", "b": "2"}
    message = check(
        threads.messages.create(thread.id, role="user", content="Hi", metadata={"c": "3"})
    )
    assert check(threads.messages.retrieve(message.id, thread_id=thread.id)) == message
    check(threads.messages.update(message.id, thread_id=thread.id, metadata={"d": "4"}))
    assert threads.messages.list(thread.id).data[0].metadata == {"c": "3", "d": "4"}
    assert check(threads.delete(thread.id)).deleted is True


def polled() -> None:
    thread_id, assistant_id = ask()
    run = wait(runs.create(thread_id=thread_id, assistant_id=assistant_id))
    assert run.status == "completed" and run.completed_at and run.last_error is None
    message = answer_of(thread_id)
    assert message.content[0].text.value == sys.argv[2] and message.run_id == run.id
    (step,) = steps_of(run)
    assert step.step_details.message_creation.message_id == message.id
    assert run.usage.model_dump() == step.usage.model_dump()
    assert run.usage.total_tokens > run.usage.prompt_tokens > 0
    assert check(runs.list(thread_id).data[0]).id == run.id


class Noted(Handler):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.arguments: list[str] = []
        self.code: list[str] = []
        self.messages: list[Any] = []
        self.steps: list[Any] = []
        self.ends: list[str] = []

    def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        self.texts.append(delta.value or "")
        assert snapshot.value.endswith(delta.value or "")

    def on_tool_call_delta(self, delta: Any, snapshot: Any) -> None:
        if delta.type == "function" and delta.function and delta.function.arguments:
            self.arguments.append(delta.function.arguments)
        if delta.type == "code_interpreter" and delta.code_interpreter.input:
            self.code.append(delta.code_interpreter.input)

    def on_message_done(self, message: Any) -> None:
        self.messages.append(message)

    def on_run_step_done(self, run_step: Any) -> None:
        self.steps.append(run_step)

    def on_exception(self, exception: Exception) -> None:
        raise exception

    def on_end(self) -> None:
        self.ends.append("end")


def stream(thread_id: str, assistant_id: str) -> tuple[Noted, Any]:
    noted = Noted()
    with runs.stream(thread_id=thread_id, assistant_id=assistant_id, event_handler=noted) as events:
        events.until_done()
        return noted, noted.current_run


def streamed() -> None:
    thread_id, assistant_id = ask()
    noted, run = stream(thread_id, assistant_id)
    assert "".join(noted.texts) == sys.argv[2] and noted.ends == ["end"]
    assert run == wait(runs.retrieve(run.id, thread_id=thread_id))
    assert noted.messages == [answer_of(thread_id)]
    assert noted.steps == steps_of(run)


def function() -> None:
    thread_id, assistant_id = ask("How is the weather in Oslo?", tools=[WEATHER])
    run = wait(runs.create(thread_id=thread_id, assistant_id=assistant_id))
    assert run.status == "requires_action"
    (call,) = run.required_action.submit_tool_outputs.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Oslo"}
    outputs: Any = [{"tool_call_id": call.id, "output": "Rain."}]
    run = runs.submit_tool_outputs(run.id, thread_id=thread_id, tool_outputs=outputs)
    run = wait(run)
    assert run.status == "completed" and answer_of(thread_id).content[0].text.value == sys.argv[2]
    first, second = steps_of(run)
    assert first.step_details.tool_calls[0].function.output == "Rain."
    assert run.usage.total_tokens == first.usage.total_tokens + second.usage.total_tokens


def function_streamed() -> None:
    thread_id, assistant_id = ask("How is the weather in Oslo?", tools=[WEATHER])
    noted, run = stream(thread_id, assistant_id)
    assert run.status == "requires_action" and json.loads("".join(noted.arguments))
    (call,) = run.required_action.submit_tool_outputs.tool_calls
    outputs: Any = [{"tool_call_id": call.id, "output": "Rain."}]
    noted = Noted()
    with runs.submit_tool_outputs_stream(
        run_id=run.id, thread_id=thread_id, tool_outputs=outputs, event_handler=noted
    ) as events:
        events.until_done()
    assert "".join(noted.texts) == sys.argv[2]
    run = wait(runs.retrieve(run.id, thread_id=thread_id))
    assert run.status == "completed" and noted.messages == [answer_of(thread_id)]
    assert noted.steps == steps_of(run)


def cancelled() -> None:
    thread_id, assistant_id = ask()
    run = runs.create(thread_id=thread_id, assistant_id=assistant_id)
    while not threads.messages.list(thread_id).data[0].role == "assistant":
        time.sleep(0.02)
    busy = f"Can't add messages to {thread_id} while a run {run.id} is active."
    error = refused(
        openai.BadRequestError,
        lambda: threads.messages.create(thread_id, role="user", content="More"),
    )
    assert busy in str(error)
    check(runs.cancel(run.id, thread_id=thread_id))
    run = wait(runs.retrieve(run.id, thread_id=thread_id))
    assert run.status == "cancelled" and run.cancelled_at
    error = refused(openai.BadRequestError, lambda: runs.cancel(run.id, thread_id=thread_id))
    assert "Cannot cancel run with status 'cancelled'." in str(error)


def files() -> None:
    content = "Zwölf Boxkämpfer".encode()
    made = check(client.files.create(file=("a b.txt", io.BytesIO(content)), purpose="assistants"))
    assert made.bytes == len(content) and made.filename == "a b.txt"
    assert client.files.content(made.id).read() == content
    assert made.id in [one.id for one in client.files.list(purpose="assistants")]
    assert check(client.files.retrieve(made.id)) == made
    assert client.files.wait_for_processing(made.id).status == "processed"
    assert check(client.files.delete(made.id)).deleted is True
    refused(openai.NotFoundError, lambda: client.files.retrieve(made.id))


def stores() -> Any:
    return client.vector_stores if hasattr(client, "vector_stores") else beta.vector_stores


def vector_stores() -> None:
    store = check(stores().create(name="S", expires_after={"anchor": "last_active_at", "days": 1}))
    text = ("leave.md", b"# Leave\n\nEmployees have thirty days of leave.")
    entry = check(stores().files.upload_and_poll(vector_store_id=store.id, file=text))
    assert entry.status == "completed" and entry.last_error is None
    batch = stores().file_batches.upload_and_poll(
        vector_store_id=store.id, files=[("b.txt", b"The office opens at nine.")]
    )
    assert check(batch).status == "completed" and batch.file_counts.completed == 1
    counts = check(stores().retrieve(store.id)).file_counts
    assert (counts.total, counts.completed) == (2, 2)
    assert {one.id for one in stores().files.list(store.id)} >= {entry.id}
    check(stores().files.delete(entry.id, vector_store_id=store.id))
    assert check(stores().delete(store.id)).deleted is True


def documents() -> None:
    file = client.files.create(
        file=("leave.md", b"# Leave\n\nEmployees have thirty days of leave."), purpose="assistants"
    )
    question = "How many days of leave do employees have?"
    if IS_V1:
        thread_id, assistant_id = ask(question, tools=[{"type": "retrieval"}], file_ids=[file.id])
    else:
        store = stores().create(file_ids=[file.id])
        while stores().retrieve(store.id).status != "completed":
            time.sleep(0.02)
        thread_id, assistant_id = ask(
            question,
            tools=[{"type": "file_search"}],
            tool_resources={"file_search": {"vector_store_ids": [store.id]}},
        )
    run = wait(runs.create(thread_id=thread_id, assistant_id=assistant_id))
    assert run.status == "completed", run.last_error
    text = answer_of(thread_id).content[0].text
    (cited,) = text.annotations
    assert text.value[cited.start_index : cited.end_index] == cited.text
    assert cited.file_citation.file_id == file.id
    wanted = "retrieval" if IS_V1 else "file_search"
    assert steps_of(run)[0].step_details.tool_calls[0].type == wanted


def check_answer(run: Any, message: Any) -> None:
    """What came of code: a figure above the text, which links to a file."""
    assert run.status == "completed", run.last_error
    picture, said = message.content
    assert client.files.content(picture.image_file.file_id).read().startswith(b"\x89PNG")
    (link,) = said.text.annotations
    assert link.type == "file_path" and link.text == "sandbox:/mnt/data/total.csv"
    assert said.text.value[link.start_index : link.end_index] == link.text
    assert client.files.content(link.file_path.file_id).read() == b"total\n6\n"
    made = client.files.retrieve(link.file_path.file_id)
    assert (made.filename, made.purpose) == ("total.csv", "assistants_output")


def check_code(step: Any) -> None:
    (call,) = step.step_details.tool_calls
    assert call.type == "code_interpreter" and call.code_interpreter.input.startswith("import")
    picture, logs = call.code_interpreter.outputs
    assert (picture.type, logs.type, logs.logs) == ("image", "logs", "größer\n")
    assert client.files.retrieve(picture.image.file_id).purpose == "assistants_output"


def code() -> None:
    data = client.files.create(file=("data.csv", b"a\n1\n2\n3\n"), purpose="assistants")
    tools: Any = [{"type": "code_interpreter"}]
    if IS_V1:
        files: Any = {"file_ids": [data.id]}
        assistant = check(beta.assistants.create(model="gpt-4o", tools=tools, **files))
        assert assistant.file_ids == [data.id]
        first: Any = {}
    else:
        assistant = check(beta.assistants.create(model="gpt-4o", tools=tools))
        first = {"attachments": [{"file_id": data.id, "tools": tools}]}
    question: Any = {"role": "user", "content": "Add it up and plot it.", **first}
    thread = check(threads.create(messages=[question]))
    run = wait(runs.create(thread_id=thread.id, assistant_id=assistant.id))
    check_answer(run, answer_of(thread.id))
    ran, answered = steps_of(run)
    check_code(ran)
    assert run.usage.total_tokens == ran.usage.total_tokens + answered.usage.total_tokens
    if Handler is object:
        return
    threads.messages.create(thread.id, role="user", content="And again.")
    noted, run = stream(thread.id, assistant.id)
    check_answer(run, answer_of(thread.id))
    assert noted.messages == [answer_of(thread.id)]
    assert noted.steps == steps_of(run)
    assert "".join(noted.code) == noted.steps[0].step_details.tool_calls[0].code_interpreter.input
    check_code(noted.steps[0])


def uploads() -> None:
    upload = check(
        client.uploads.create(
            bytes=6, filename="u.txt", mime_type="text/plain", purpose="assistants"
        )
    )
    parts = [check(client.uploads.parts.create(upload.id, data=half)) for half in (b"abc", b"def")]
    done = check(client.uploads.complete(upload.id, part_ids=[part.id for part in parts]))
    assert done.status == "completed" and client.files.content(done.file.id).read() == b"abcdef"


def errors() -> None:
    missing = refused(openai.NotFoundError, lambda: threads.retrieve("thread_nowhere"))
    assert "No thread found with id 'thread_nowhere'." in str(missing)
    wrong = refused(openai.BadRequestError, lambda: beta.assistants.create(model="gpt-4o", name=5))  # type: ignore[arg-type]
    assert wrong.param == "name" and wrong.response.headers["x-request-id"]
    without = OpenAI(api_key="sk-wrong-key-0000", max_retries=0)
    denied = refused(openai.AuthenticationError, lambda: without.beta.assistants.list())
    assert denied.code == "invalid_api_key"
    refused(openai.NotFoundError, lambda: client.get("/nowhere", cast_to=object))
    thread_id, assistant_id = ask()
    run = wait(runs.create(thread_id=thread_id, assistant_id=assistant_id))
    late = refused(
        openai.BadRequestError,
        lambda: runs.submit_tool_outputs(run.id, thread_id=thread_id, tool_outputs=[]),
    )
    assert 'Runs in status "completed" do not accept tool outputs.' in str(late)


def chat() -> None:
    asked: Any = [{"role": "user", "content": "Hi"}]
    done = check(client.chat.completions.create(model="gpt-4o", messages=asked))
    assert done.choices[0].message.content == sys.argv[2]
    parts = client.chat.completions.create(model="gpt-4o", messages=asked, stream=True)
    said = [check(part).choices[0].delta.content or "" for part in parts]
    assert "".join(said) == sys.argv[2]


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    print("ok")
