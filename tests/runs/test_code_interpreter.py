"""Runs of a model that writes code itself: steps, messages, and what later turns see of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from localassist.engine import ScriptedEngine
from localassist.errors import SandboxUnavailable
from localassist.schemas.base import ListQuery
from localassist.schemas.events import RunEvent
from localassist.schemas.runs import SubmitToolOutputs
from localassist.services.interpreter import Printed, Shown
from localassist.storage import assistants, threads
from localassist.tools.code_interpreter.base import CodeFile
from tests.runs.conftest import WEATHER, OpenRuntime, P, Talk, begin, names
from tests.runs.kernels import NOWHERE, Cell, FakeInterpreter, printing
from tests.runs.test_file_search import ANSWERING, HEAD, called, prompt

CODE: dict[str, Any] = {"type": "code_interpreter"}
RUNNING = ["S.created", "S.in_progress", "S.delta", "S.completed"]


def python(code: str) -> str:
    return called("python", code=code)


@asynccontextmanager
async def talking(
    open_scripted: OpenRuntime, engine: ScriptedEngine, kernels: FakeInterpreter, *tools: Any
) -> AsyncIterator[Talk]:
    async with open_scripted(engine, interpreter=kernels) as runtime:
        yield await begin(runtime, "What is 6 * 7?", tools=[*tools] or [CODE])


def fragments(events: list[RunEvent]) -> list[dict[str, Any]]:
    """The fragments of calls, in their order."""
    deltas = [e.data["delta"] for e in events if e.name == "thread.run.step.delta"]
    return [part for delta in deltas for part in delta["step_details"]["tool_calls"]]


def contents(events: list[RunEvent]) -> list[list[dict[str, Any]]]:
    """What the deltas of messages hold."""
    return [e.data["delta"]["content"] for e in events if e.name == "thread.message.delta"]


async def content_of(talk: Talk) -> list[dict[str, Any]]:
    """Of the newest message."""
    page = await talk.runtime.messages.list(P, talk.thread_id, ListQuery(limit=1, order="desc"))
    return [part.dump() for part in page.data[0].content]


async def outputs_of(talk: Talk, run: Any, step: int = 0) -> list[Any]:
    """The outputs of each call of a step."""
    calls = (await talk.steps(run))[step].dump()["step_details"]["tool_calls"]
    return [call["code_interpreter"]["outputs"] for call in calls]


# --- the step -------------------------------------------------------------------------------------


async def test_code_is_a_step_and_the_model_goes_on(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine(python("x = 6\nprint(x * 7)"), "It is 42.", model_id="scripted")
    kernels = FakeInterpreter(printing("4", "2\n"))
    async with talking(open_scripted, engine, kernels) as talk:
        run = await talk.start()
        events = await talk.events(run)
        assert names(events) == [*HEAD, *RUNNING, *ANSWERING]
        first, *more = fragments(events)
        empty = {"input": "", "outputs": []}
        assert first == {
            "index": 0,
            "id": first["id"],
            "type": "code_interpreter",
            "code_interpreter": empty,
        }
        written = [p["code_interpreter"]["input"] for p in more if "input" in p["code_interpreter"]]
        assert "".join(written) == "x = 6\nprint(x * 7)" and len(written) > 1
        logged = [p["code_interpreter"]["outputs"] for p in more[len(written) :]]
        assert logged == [[{"index": 0, "type": "logs", "logs": "42\n"}]]
        step, message = [step.dump() for step in await talk.steps(run)]
        (call,) = step["step_details"]["tool_calls"]
        assert call == {
            "id": first["id"],
            "type": "code_interpreter",
            "code_interpreter": {
                "input": "x = 6\nprint(x * 7)",
                "outputs": [{"type": "logs", "logs": "42\n"}],
            },
        }
        assert kernels.codes == ["x = 6\nprint(x * 7)"]
        assert kernels.prepared[0] == talk.thread_id
        assert "<tool_response>" in prompt(engine) or "42" in prompt(engine)
        finished = await talk.look(run)
        used = [one["usage"]["total_tokens"] for one in (step, message)]
        assert finished.usage is not None and finished.usage.total_tokens == sum(used)


async def test_two_calls_of_a_turn_are_run_in_their_order(open_scripted: OpenRuntime) -> None:
    two = python("first()") + "\n" + python("second()")
    engine = ScriptedEngine(two, "Done.", model_id="scripted")
    kernels = FakeInterpreter(printing("1"), printing("2"))
    async with talking(open_scripted, engine, kernels) as talk:
        run = await talk.start()
        events = await talk.events(run)
        assert names(events) == [*HEAD, *RUNNING, *ANSWERING]
        assert kernels.codes == ["first()", "second()"]
        one, other = await outputs_of(talk, run)
        assert (one, other) == ([{"type": "logs", "logs": "1"}], [{"type": "logs", "logs": "2"}])
        outputs = [p for p in fragments(events) if p["code_interpreter"].get("outputs")]
        assert [p["index"] for p in outputs] == [0, 1]


async def test_failing_code_is_no_failed_step(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine(python("1 / 0"), python("print(1)"), "One.", model_id="scripted")
    traceback = "Traceback (most recent call last)\nZeroDivisionError: division by zero\n"
    kernels = FakeInterpreter(printing(traceback, ending="error"), printing("1\n"))
    async with talking(open_scripted, engine, kernels) as talk:
        run = await talk.start()
        assert names(await talk.events(run)) == [*HEAD, *RUNNING, *RUNNING, *ANSWERING]
        assert (await talk.look(run)).status == "completed"
        assert await outputs_of(talk, run) == [[{"type": "logs", "logs": traceback}]]
        assert "ZeroDivisionError" in prompt(engine, 1)


async def test_code_and_functions_of_one_turn(open_scripted: OpenRuntime) -> None:
    both = called("get_weather", city="Paris") + "\n" + python("print(1)")
    engine = ScriptedEngine(both, "Sunny, and 1.", model_id="scripted")
    kernels = FakeInterpreter(printing("1\n"))
    async with talking(open_scripted, engine, kernels, WEATHER, CODE) as talk:
        run = await talk.start()
        await talk.events(run)
        waiting = await talk.look(run)
        assert waiting.required_action is not None
        (wanted,) = waiting.required_action.submit_tool_outputs.tool_calls
        assert wanted.function.name == "get_weather" and kernels.codes == ["print(1)"]
        (step,) = [one.dump() for one in await talk.steps(run)]
        kinds = [call["type"] for call in step["step_details"]["tool_calls"]]
        assert (step["status"], kinds) == ("in_progress", ["function", "code_interpreter"])
        outputs = {"tool_outputs": [{"tool_call_id": wanted.id, "output": "sunny"}]}
        body = SubmitToolOutputs.model_validate(outputs)
        submitted = await talk.runtime.runs.submit_tool_outputs(P, talk.thread_id, run.id, body)
        await talk.events(run, submitted.after_seq)
        assert (await talk.look(run)).status == "completed"
        function, code = (await talk.steps(run))[0].dump()["step_details"]["tool_calls"]
        assert function["function"]["output"] == "sunny"
        assert code["code_interpreter"]["outputs"] == [{"type": "logs", "logs": "1\n"}]
        assert "sunny" in prompt(engine) and "print(1)" in prompt(engine)


async def test_later_runs_see_the_message_but_not_the_code(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine(
        python("secret = 41"), "I have noted it.", "Welcome.", model_id="scripted"
    )
    kernels = FakeInterpreter(printing("kept"), printing("42"))
    async with talking(open_scripted, engine, kernels) as talk:
        await talk.finish()
        await talk.say("Thanks!")
        await talk.finish()
        assert "I have noted it." in prompt(engine) and "secret" not in prompt(engine)


async def test_rounds_without_an_answer_come_to_an_end(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine(default_reply=python("again()"), model_id="scripted")
    kernels = FakeInterpreter(*[printing("x")] * 3)
    runs = {"poll_seconds": 0.05, "max_tool_rounds": 3}
    async with open_scripted(engine, interpreter=kernels, runs=runs) as runtime:
        talk = await begin(runtime, tools=[CODE])
        run = await talk.finish()
        assert run.status == "failed" and run.last_error is not None
        assert "asked for tools 3 times" in run.last_error.message


async def test_a_budget_that_ends_in_the_middle_of_code(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine(python("print('" + "long " * 200 + "')"), model_id="scripted")
    async with talking(open_scripted, engine, FakeInterpreter()) as talk:
        run = await talk.finish(max_completion_tokens=300)
        assert run.status == "incomplete"
        (step,) = [one.dump() for one in await talk.steps(run)]
        (call,) = step["step_details"]["tool_calls"]
        assert step["status"] == "completed" and call["code_interpreter"]["outputs"] == []
        assert call["code_interpreter"]["input"].startswith("print('long long ")


# --- images and links -----------------------------------------------------------------------------


async def test_images_come_before_the_text(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine(
        "Let me plot. " + python("plot()"), "Two figures.", model_id="scripted", piece_tokens=3
    )
    says = (Printed("a"), Shown("file-1"), Printed("b"), Printed("c"), Shown("file-2"))
    kernels = FakeInterpreter(Cell(says))
    async with talking(open_scripted, engine, kernels) as talk:
        run = await talk.start()
        events = await talk.events(run)
        outputs = await outputs_of(talk, run, 1)
        assert outputs == [
            [
                {"type": "logs", "logs": "a"},
                {"type": "image", "image": {"file_id": "file-1"}},
                {"type": "logs", "logs": "bc"},
                {"type": "image", "image": {"file_id": "file-2"}},
            ]
        ]
        deltas = contents(events)
        before = [parts for parts in deltas if len(parts) == 1 and parts[0]["index"] == 0]
        first, *later = deltas[len(before) :]
        assert [(part["index"], part["type"]) for part in first] == [
            (0, "image_file"),
            (1, "image_file"),
            (2, "text"),
        ]
        assert later and all(part["index"] == 2 for parts in later for part in parts)
        images = [
            {"type": "image_file", "image_file": {"file_id": name}} for name in ("file-1", "file-2")
        ]
        text = {"type": "text", "text": {"value": "Two figures.", "annotations": []}}
        assert await content_of(talk) == [*images, text]


async def test_each_image_is_in_one_message(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine(
        python("a()"), "The first. " + python("b()"), "The second.", model_id="scripted"
    )
    kernels = FakeInterpreter(Cell((Shown("file-a"),)), Cell((Shown("file-b"),)))
    async with talking(open_scripted, engine, kernels) as talk:
        events = await talk.events(await talk.start())
        shown = [e.data["content"] for e in events if e.name == "thread.message.completed"]
        told = [[part.get("image_file", part.get("text")) for part in content] for content in shown]
        assert [one[0]["file_id"] for one in told] == ["file-a", "file-b"]
        assert [len(one) for one in told] == [2, 2]


async def test_an_image_may_stand_alone(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine(python("plot()"), "", "And now?", model_id="scripted")
    async with talking(open_scripted, engine, FakeInterpreter(Cell((Shown("file-1"),)))) as talk:
        events = await talk.events(await talk.start())
        image = {"type": "image_file", "image_file": {"file_id": "file-1"}}
        assert contents(events) == [[{"index": 0, **image}]]
        assert await content_of(talk) == [image]
        await talk.say("And?")
        assert (await talk.finish()).status == "completed"  # the image is no part of the prompt


async def test_links_to_files_become_annotations(open_scripted: OpenRuntime) -> None:
    answer = "See [it](sandbox:/mnt/data/out.csv), made of sandbox:/mnt/data/old.csv; not "
    answer += "sandbox:/mnt/data/none.csv, but sandbox:/mnt/data/file-old."
    engine = ScriptedEngine(python("write()"), answer, model_id="scripted")
    kernels = FakeInterpreter(
        Cell((Shown("file-1"),), files={"out.csv": "file-out"}),
        files=[CodeFile("old.csv", "file-old", 3)],
    )
    async with talking(open_scripted, engine, kernels) as talk:
        events = await talk.events(await talk.start())
        image, part = await content_of(talk)
        value, annotations = part["text"]["value"], part["text"]["annotations"]
        assert image["image_file"] == {"file_id": "file-1"} and value == answer
        assert [(a["type"], a["file_path"]["file_id"]) for a in annotations] == [
            ("file_path", "file-out"),
            ("file_path", "file-old"),
            ("file_path", "file-old"),
        ]
        for one in annotations:
            assert value[one["start_index"] : one["end_index"]] == one["text"]
        told = [part["text"] for parts in contents(events) for part in parts if "text" in part]
        assert "".join(one["value"] for one in told) == answer
        numbered = [a for one in told for a in one.get("annotations", [])]
        assert [a["index"] for a in numbered] == [0, 1, 2]


# --- where code is run ----------------------------------------------------------------------------


async def test_files_and_limits_reach_the_kernel(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine(python("pass"), "Done.", model_id="scripted")
    kernels = FakeInterpreter(printing(""))
    async with talking(open_scripted, engine, kernels) as talk:

        def change(session: Any) -> None:
            def resources(*file_ids: str) -> dict[str, Any]:
                return {"tool_resources": {"code_interpreter": {"file_ids": [*file_ids]}}}

            limit = {"metadata": {"localassist.sandbox.memory_mb": "300"}}
            assistants.update(session, P, talk.assistant_id, resources("file-a", "file-b") | limit)
            threads.update(session, P, talk.thread_id, resources("file-b", "file-c"))

        await talk.runtime.runs._database.write(change)
        await talk.finish()
        (ran,) = kernels.ran
        assert ran[2:] == (("file-a", "file-b", "file-c"), {"memory_mb": 300})


async def test_without_a_sandbox_the_model_answers(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine("42, I think.", model_id="scripted")
    async with talking(open_scripted, engine, FakeInterpreter(verdict=NOWHERE)) as talk:
        run = await talk.finish()
        assert run.status == "completed" and "python" not in prompt(engine)


@pytest.mark.parametrize("choice", [CODE, "required"])
async def test_code_that_is_demanded_needs_a_sandbox(
    open_scripted: OpenRuntime, choice: Any
) -> None:
    engine = ScriptedEngine(model_id="scripted")
    async with talking(open_scripted, engine, FakeInterpreter(verdict=NOWHERE)) as talk:
        run = await talk.finish(tool_choice=choice)
        assert run.status == "failed" and run.last_error is not None
        assert run.last_error.code == "server_error"
        assert "bwrap was not found. To change that: apt install" in run.last_error.message


async def test_a_sandbox_that_fails_fails_the_run(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine(python("print(1)"), model_id="scripted")
    gone = SandboxUnavailable("The kernel's environment is gone: run `localassist sandbox build`.")
    kernels = FakeInterpreter(Cell((Printed("half"),), raises=gone))
    async with talking(open_scripted, engine, kernels) as talk:
        run = await talk.finish()
        assert run.status == "failed" and run.last_error is not None
        assert (run.last_error.code, run.last_error.message) == ("server_error", gone.message)
        (step,) = [one.dump() for one in await talk.steps(run)]
        assert step["status"] == "failed" and step["last_error"]["message"] == gone.message
        assert await outputs_of(talk, run) == [[{"type": "logs", "logs": "half"}]]


async def test_a_function_of_the_callers_keeps_its_name(open_scripted: OpenRuntime) -> None:
    own = {"type": "function", "function": {"name": "python", "parameters": {"type": "object"}}}
    engine = ScriptedEngine(called("run_python", code="1"), "One.", model_id="scripted")
    kernels = FakeInterpreter(printing("1"))
    async with talking(open_scripted, engine, kernels, own, CODE) as talk:
        assert (await talk.finish()).status == "completed"
        assert kernels.codes == ["1"]


async def test_code_is_written_character_by_character(open_scripted: OpenRuntime) -> None:
    code = 'print("ä\\n\t𝔘 \\"quoted\\"")\n# 💡'
    engine = ScriptedEngine(python(code), "Done.", model_id="scripted", piece_tokens=1)
    kernels = FakeInterpreter(printing(""))
    async with talking(open_scripted, engine, kernels) as talk:
        run = await talk.start()
        events = await talk.events(run)
        written = [p["code_interpreter"].get("input", "") for p in fragments(events)]
        assert "".join(written) == code and kernels.codes == [code]
        (call,) = (await talk.steps(run))[0].dump()["step_details"]["tool_calls"]
        assert call["code_interpreter"]["input"] == code
