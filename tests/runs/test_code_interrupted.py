"""Runs that are cancelled, parked or left by their process while their code runs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from localassist.engine import ScriptedEngine
from localassist.engine.request import Generate
from localassist.schemas.runs import Run
from localassist.services.interpreter import Printed, Shown
from localassist.storage.database import Database
from tests.runs.conftest import WEATHER, OpenRuntime, P, Talk, begin, names
from tests.runs.kernels import Cell, FakeInterpreter, printing
from tests.runs.test_code_interpreter import (
    CODE,
    RUNNING,
    content_of,
    contents,
    outputs_of,
    python,
    talking,
)
from tests.runs.test_executor import _name_of_a_dead_process, _pretend_owner, until_text
from tests.runs.test_file_search import ANSWERING, HEAD, called

BROKEN = [*RUNNING[:-1], "S.failed"]


async def until_printed(talk: Talk, run: Run) -> None:
    """Wait for the first output of code."""
    async for event in talk.runtime.runs.events(P, talk.thread_id, run.id):
        if event.name == "thread.run.step.delta" and _has_output(event.data):
            return
    raise AssertionError("the run ended without an output")


def _has_output(data: dict[str, Any]) -> bool:
    (part,) = data["delta"]["step_details"]["tool_calls"]
    return bool(part["code_interpreter"].get("outputs"))


async def test_cancelling_interrupts_the_code(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine(python("wait()"), model_id="scripted")
    says = (Printed("one\n"), Shown("file-1"), Printed("two\n"))
    kernels = FakeInterpreter(Cell(says, hangs=True))
    async with talking(open_scripted, engine, kernels) as talk:
        run = await talk.start()
        await kernels.is_hanging.wait()
        await talk.runtime.runs.cancel(P, talk.thread_id, run.id)
        events = await talk.events(run)
        ending = [name for name in names(events) if "delta" not in name][-3:]
        assert ending == ["R.cancelling", "S.cancelled", "R.cancelled"]
        assert kernels.interrupted == ["wait()"]
        shown = [
            {"type": "logs", "logs": "one\n"},
            {"type": "image", "image": {"file_id": "file-1"}},
            {"type": "logs", "logs": "two\n"},
        ]
        assert await outputs_of(talk, run) == [shown]
        (step,) = [one.dump() for one in await talk.steps(run)]
        (call,) = step["step_details"]["tool_calls"]
        cancelled = await talk.look(run)
        assert cancelled.usage is not None and cancelled.usage.completion_tokens > 10
        assert step["usage"]["total_tokens"] == cancelled.usage.total_tokens
        assert step["status"] == "cancelled" and call["code_interpreter"]["input"] == "wait()"


@pytest.mark.parametrize("way", ["parked", "killed"])
async def test_code_that_was_interrupted_is_written_and_run_again(
    open_scripted: OpenRuntime, way: str
) -> None:
    engine = ScriptedEngine(python("wait()"), python("wait()"), "Done.", model_id="scripted")
    hanging = FakeInterpreter(Cell((Printed("half"),), hangs=True))
    runs = {"poll_seconds": 0.05, "lease_seconds": 3600}
    async with open_scripted(engine, interpreter=hanging, runs=runs) as runtime:
        talk = await begin(runtime, tools=[CODE])
        run = await talk.start()
        await until_printed(talk, run)
    assert hanging.interrupted == ["wait()"]
    if way == "killed":
        database = Database.open(runtime.settings.home, runtime.settings.storage)
        await database.write(lambda s: _pretend_owner(s, run.id, _name_of_a_dead_process()))
        await database.close()
    kernels = FakeInterpreter(printing("[The kernel was started anew.]\nwhole"))
    async with open_scripted(engine, interpreter=kernels, runs=runs) as runtime:
        talk.runtime = runtime
        events = await talk.events(run)
        assert names(events) == [*HEAD, *BROKEN, *RUNNING, *ANSWERING]
        half, whole = await outputs_of(talk, run), await outputs_of(talk, run, 1)
        assert half == [[{"type": "logs", "logs": "half"}]]
        assert whole == [[{"type": "logs", "logs": "[The kernel was started anew.]\nwhole"}]]
        assert (await talk.look(run)).status == "completed"


async def test_an_open_message_keeps_its_images(open_scripted: OpenRuntime) -> None:
    long = "word " * 200
    first = ScriptedEngine(python("plot()"), long, model_id="scripted")
    kernels = FakeInterpreter(Cell((Shown("file-1"), Shown("file-2"))))
    async with talking(open_scripted, first, kernels) as talk:
        first._delay_seconds = 0.01
        run = await talk.start()
        await until_text(talk, run.id)

    def rest(request: Generate) -> str:
        return long

    second = ScriptedEngine(rest, model_id="scripted")
    async with open_scripted(second, interpreter=kernels) as runtime:
        talk.runtime = runtime
        events = await talk.events(run)
        assert names(events).count("M.created") == 1
        texts = [p for parts in contents(events) for p in parts if p["type"] == "text"]
        assert {p["index"] for p in texts} == {2}
        assert "".join(p["text"]["value"] for p in texts) == long
        assert [p["type"] for p in await content_of(talk)] == ["image_file"] * 2 + ["text"]


async def test_a_cancelled_message_keeps_its_images(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine(python("plot()"), "word " * 500, model_id="scripted")
    kernels = FakeInterpreter(Cell((Shown("file-1"),)))
    async with talking(open_scripted, engine, kernels) as talk:
        engine._delay_seconds = 0.01
        run = await talk.start()
        await until_text(talk, run.id)
        await talk.runtime.runs.cancel(P, talk.thread_id, run.id)
        events = await talk.events(run)
        ending = [name for name in names(events) if "delta" not in name][-4:]
        assert ending == ["R.cancelling", "M.incomplete", "S.cancelled", "R.cancelled"]
        image, text = await content_of(talk)
        assert image["image_file"] == {"file_id": "file-1"}
        assert "word word".startswith(text["text"]["value"][:9])


async def test_an_expired_run_keeps_what_its_code_has_printed(open_scripted: OpenRuntime) -> None:
    both = called("get_weather", city="Paris") + "\n" + python("print(1)")
    engine = ScriptedEngine(both, model_id="scripted")
    runs = {"poll_seconds": 0.05, "lifetime_seconds": 1}
    kernels = FakeInterpreter(printing("1\n"))
    async with open_scripted(engine, interpreter=kernels, runs=runs) as runtime:
        talk = await begin(runtime, tools=[WEATHER, CODE])
        run = await talk.start()
        waiting = await talk.events(run)
        rest = await asyncio.wait_for(talk.events(run, waiting[-1].seq), 10)
        assert names(rest) == ["S.expired", "R.expired"]
        _, code = rest[0].data["step_details"]["tool_calls"]
        assert code["code_interpreter"]["outputs"] == [{"type": "logs", "logs": "1\n"}]


async def test_a_deleted_thread_interrupts_its_code(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine(python("wait()"), model_id="scripted")
    kernels = FakeInterpreter(Cell(hangs=True))
    async with talking(open_scripted, engine, kernels) as talk:
        await talk.start()
        await kernels.is_hanging.wait()
        await talk.runtime.threads.delete(P, talk.thread_id)
        for _ in range(500):
            if kernels.interrupted:
                break
            await asyncio.sleep(0.01)
        assert kernels.interrupted == ["wait()"]
