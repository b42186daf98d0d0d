"""The code interpreter in runs, as official clients see it: steps, images, files, streams."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import openai
import pytest
from typing_extensions import override

from localassist.engine import ScriptedEngine
from localassist.services.interpreter import Printed, Shown
from tests.conformance.conftest import WEATHER, Talk, begin
from tests.conformance.serving import call
from tests.conformance.test_streams import CLOSING, HEAD, OPENING, Recorder
from tests.conformance.wire import V1, raw, raw_stream, short
from tests.runs.kernels import NOWHERE, Cell, FakeInterpreter, printing
from tests.server.serving import Stage

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")

UseEngine = Callable[..., ScriptedEngine]
CODE: Any = {"type": "code_interpreter"}
RUNNING = ["S.created", "S.in_progress", "S.delta", "S.completed"]
ANSWERED = [*HEAD, *RUNNING, *OPENING, "M.delta", *CLOSING]
PROGRAM = 'import matplotlib\nprint("größer")\n'


def python(code: str) -> str:
    body = json.dumps({"name": "python", "arguments": {"code": code}})
    return f"<tool_call>\n{body}\n</tool_call>"


class Watcher(Recorder):
    """Notes what it is told of code, too."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []
        self.images: list[str] = []

    @override
    def on_tool_call_created(self, tool_call: Any) -> None:
        self.told.append(f"created {tool_call.type}")

    @override
    def on_tool_call_delta(self, delta: Any, snapshot: Any) -> None:
        self.told.append("input" if delta.code_interpreter.input else "output")
        assert snapshot.type == "code_interpreter"

    @override
    def on_image_file_done(self, image_file: Any) -> None:
        self.images.append(image_file.file_id)


def upload(client: openai.OpenAI, name: str) -> str:
    return client.files.create(file=(name, b"\x89PNG of sorts"), purpose="assistants").id


@pytest.fixture
def talk(client: openai.OpenAI, stage: Stage, use_engine: UseEngine) -> Talk:
    """A thread whose run prints, shows two images and writes a file that its answer links to."""
    use_engine(python(PROGRAM), "Voilà: [data](sandbox:/mnt/data/a.csv), as you wished.")
    says = (Printed("grö"), Printed("ßer\n"), Shown("file-1"), Printed("more"), Shown("file-2"))
    stage.interpreter = FakeInterpreter(Cell(says, files={"a.csv": "file-a"}))
    return begin(client, "Plot it", tools=[CODE])


def steps(talk: Talk, run: Any) -> list[Any]:
    listed = talk.client.beta.threads.runs.steps.list
    return list(listed(run.id, thread_id=talk.thread_id, order="asc"))


def message(talk: Talk) -> Any:
    return talk.client.beta.threads.messages.list(talk.thread_id, limit=1).data[0]


def check_message(said: Any) -> None:
    first, second, text = said.content
    assert [part.image_file.file_id for part in (first, second)] == ["file-1", "file-2"]
    assert text.text.value == "Voilà: [data](sandbox:/mnt/data/a.csv), as you wished."
    (link,) = text.text.annotations
    assert (link.type, link.file_path.file_id) == ("file_path", "file-a")
    assert link.text == "sandbox:/mnt/data/a.csv"
    assert text.text.value[link.start_index : link.end_index] == link.text


def check_step(step: Any) -> None:
    (made,) = step.step_details.tool_calls
    assert (made.type, made.id[:5]) == ("code_interpreter", "call_")
    assert made.code_interpreter.input == PROGRAM
    logs, first, more, second = made.code_interpreter.outputs
    assert (logs.logs, more.logs) == ("größer\n", "more")
    assert (first.image.file_id, second.image.file_id) == ("file-1", "file-2")


def test_a_run_that_is_polled(talk: Talk) -> None:
    run = talk.client.beta.threads.runs.create_and_poll(**talk.ids)
    assert run.status == "completed"
    ran, answered = steps(talk, run)
    check_step(ran)
    check_message(message(talk))
    used = [step.usage.total_tokens for step in (ran, answered)]
    assert run.usage is not None and run.usage.total_tokens == sum(used)


def test_what_a_stream_adds_up_to_is_what_polling_sees(talk: Talk) -> None:
    handler = Watcher()
    runs = talk.client.beta.threads.runs
    with runs.stream(**talk.ids, event_handler=handler) as stream:
        run = stream.get_final_run()
        (said,) = stream.get_final_messages()
        snapshots = stream.get_final_run_steps()
    assert short(handler.events) == ANSWERED and handler.error is None
    assert said == message(talk) == handler.message
    check_message(said)
    ran, answered = steps(talk, run)
    assert [step.id for step in snapshots] == [ran.id, answered.id]
    check_step(snapshots[0])  # made of deltas alone
    assert handler.told[0] == "created code_interpreter"
    assert handler.told.count("output") == 4 and handler.told.count("input") > 1
    assert handler.images == ["file-1", "file-2"]


def test_code_that_is_running_is_read_with_what_it_has_printed(talk: Talk, stage: Stage) -> None:
    says = (Printed("begun"), Shown("file-1"))
    stage.interpreter = FakeInterpreter(Cell(says, hangs=True))
    runs = talk.client.beta.threads.runs
    run = runs.create(**talk.ids)
    outputs: list[Any] = []
    while len(outputs) < 2:
        for step in steps(talk, run):
            assert step.status == "in_progress"
            for made in step.step_details.tool_calls:
                outputs = made.code_interpreter.outputs
    assert (made.type, made.code_interpreter.input) == ("code_interpreter", PROGRAM)
    assert (outputs[0].logs, outputs[1].image.file_id) == ("begun", "file-1")
    assert runs.steps.retrieve(step.id, run_id=run.id, thread_id=talk.thread_id) == step
    runs.cancel(run.id, thread_id=talk.thread_id)
    run = runs.poll(run.id, thread_id=talk.thread_id)
    (ended,) = steps(talk, run)
    assert (run.status, ended.step_details) == ("cancelled", step.step_details)


def test_the_message_that_deltas_make(talk: Talk) -> None:
    """Before it is replaced by the finished one."""
    made: list[Any] = []

    class Deltas(Watcher):
        @override
        def on_message_delta(self, delta: Any, snapshot: Any) -> None:
            made.append(snapshot.model_copy(deep=True))

    with talk.client.beta.threads.runs.stream(**talk.ids, event_handler=Deltas()) as stream:
        stream.until_done()
    check_message(made[-1])


def test_shapes_in_a_stream(talk: Talk) -> None:
    path = f"/threads/{talk.thread_id}/runs"
    body = {"assistant_id": talk.assistant_id, "stream": True}
    events = list(raw_stream(talk.client, "POST", path, json=body))
    deltas = [e.data["delta"] for e in events if e.name == "thread.run.step.delta"]
    first, *rest = [part for d in deltas for part in d["step_details"]["tool_calls"]]
    assert set(first) == {"index", "id", "type", "code_interpreter"}
    assert first["code_interpreter"] == {"input": "", "outputs": []}
    for part in rest:
        assert set(part) == {"index", "type", "code_interpreter"} and part["index"] == 0
    outputs = [one for part in rest for one in part["code_interpreter"].get("outputs", [])]
    assert [one["index"] for one in outputs] == [0, 1, 2, 3]
    done = next(e.data for e in events if e.name == "thread.run.step.completed")
    for output in done["step_details"]["tool_calls"][0]["code_interpreter"]["outputs"]:
        assert "index" not in output
    said = [e.data["delta"]["content"] for e in events if e.name == "thread.message.delta"]
    assert [part["index"] for part in said[0]] == [0, 1, 2]
    assert {part["index"] for content in said[1:] for part in content} == {2}
    again = f"{path}/{done['run_id']}/stream"
    attached = list(raw_stream(talk.client, "GET", again))
    assert [event.data for event in attached] == [event.data for event in events]


def test_in_the_shapes_of_version_1(talk: Talk) -> None:
    path = f"/threads/{talk.thread_id}/runs"
    body = {"assistant_id": talk.assistant_id, "stream": True}
    events = list(raw_stream(talk.client, "POST", path, json=body, headers=V1))
    assert short(event.name for event in events) == ANSWERED
    done = next(e.data for e in events if e.name == "thread.run.step.completed")
    (made,) = done["step_details"]["tool_calls"]
    assert (made["type"], made["code_interpreter"]["input"]) == ("code_interpreter", PROGRAM)
    listed = raw(talk.client, "GET", f"{path}/{done['run_id']}/steps", headers=V1).json()
    assert listed["data"][-1]["step_details"] == done["step_details"]
    (said,) = [e.data for e in events if e.name == "thread.message.completed"]
    kinds = [part["type"] for part in said["content"]]
    assert kinds == ["image_file", "image_file", "text"] and said["file_ids"] == []
    (link,) = said["content"][2]["text"]["annotations"]
    assert link["file_path"] == {"file_id": "file-a"}


def test_files_of_version_1_reach_the_code(
    client: openai.OpenAI, stage: Stage, use_engine: UseEngine
) -> None:
    use_engine(python("1"), "One.")
    stage.interpreter = FakeInterpreter(printing("1"))
    ours, theirs = upload(client, "a.csv"), upload(client, "b.csv")
    old: Any = {"extra_headers": V1}
    assistant = client.beta.assistants.create(
        model="gpt-4-1106-preview", tools=[CODE], extra_body={"file_ids": [ours]}, **old
    )
    thread = client.beta.threads.create(**old)
    client.beta.threads.messages.create(
        thread.id, role="user", content="Look", extra_body={"file_ids": [theirs]}, **old
    )
    runs = client.beta.threads.runs
    runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id, **old)
    assert [ran[2] for ran in stage.interpreter.ran] == [(ours, theirs)]


def test_resources_of_the_run_come_in_place_of_the_assistants(
    client: openai.OpenAI, stage: Stage, use_engine: UseEngine
) -> None:
    use_engine(python("1"), "One.")
    stage.interpreter = FakeInterpreter(printing("1"))
    of_assistant, of_run, attached = (upload(client, f"{name}.csv") for name in "abc")

    def resources(file_id: str) -> Any:
        return {"code_interpreter": {"file_ids": [file_id]}}

    assistant = client.beta.assistants.create(
        model="gpt-4o", tools=[CODE], tool_resources=resources(of_assistant)
    )
    attachment: Any = {"file_id": attached, "tools": [CODE]}
    first: Any = {"role": "user", "content": "Look", "attachments": [attachment]}
    run = client.beta.threads.create_and_run_poll(
        assistant_id=assistant.id, thread={"messages": [first]}, tool_resources=resources(of_run)
    )
    assert run.status == "completed"
    assert [ran[2] for ran in stage.interpreter.ran] == [(of_run, attached)]


def test_code_and_functions_of_one_turn(
    client: openai.OpenAI, stage: Stage, use_engine: UseEngine
) -> None:
    use_engine(call("Paris") + "\n" + python("1"), "Rain, and one.")
    stage.interpreter = FakeInterpreter(printing("1"))
    talk = begin(client, "Both", tools=[CODE, WEATHER])
    handler = Recorder()
    runs = talk.client.beta.threads.runs
    with runs.stream(**talk.ids, event_handler=handler) as stream:
        run = stream.get_final_run()
    assert run.status == "requires_action" and run.required_action is not None
    (asked,) = run.required_action.submit_tool_outputs.tool_calls
    ids = {"run_id": run.id, "thread_id": talk.thread_id}
    given: Any = [{"tool_call_id": asked.id, "output": "rain"}]
    with runs.submit_tool_outputs_stream(**ids, tool_outputs=given) as more:
        assert more.get_final_run().status == "completed"
    function, code = steps(talk, run)[0].step_details.tool_calls
    assert function.function.output == "rain"
    assert code.code_interpreter.outputs[0].logs == "1"


def test_a_run_without_a_sandbox_says_what_to_do(
    client: openai.OpenAI, stage: Stage, use_engine: UseEngine
) -> None:
    use_engine()
    stage.interpreter = FakeInterpreter(verdict=NOWHERE)
    talk = begin(client, "Hello", tools=[CODE])
    runs = talk.client.beta.threads.runs
    assert runs.create_and_poll(**talk.ids).status == "completed"
    failed = runs.create_and_poll(**talk.ids, tool_choice=CODE)
    assert failed.status == "failed" and failed.last_error is not None
    assert failed.last_error.code == "server_error"
    assert "bwrap was not found." in failed.last_error.message


def test_an_image_that_does_not_exist_is_refused(client: openai.OpenAI) -> None:
    thread = client.beta.threads.create()

    def send(file_id: str) -> Any:
        part: Any = {"type": "image_file", "image_file": {"file_id": file_id}}
        create = client.beta.threads.messages.create
        return create(thread.id, role="user", content=[part])

    with pytest.raises(openai.BadRequestError) as caught:
        send("file-none")
    assert "No such File object: file-none" in caught.value.message
    assert caught.value.param == "content"
    assert send(upload(client, "a.png")).content[0].type == "image_file"
