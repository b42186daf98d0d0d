"""Runs of a model that is led: code is written for it, mended, and told of."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from localassist.core import ChatMessage, Usage
from localassist.engine import ScriptedEngine
from localassist.runs.recorder import Recorder
from localassist.services.interpreter import Printed, Shown
from localassist.tools import code_interpreter
from localassist.tools.code_interpreter import Decision, Written
from localassist.tools.code_interpreter.base import CodeFile, Execution
from tests.runs.conftest import WEATHER, OpenRuntime, Talk, begin, names
from tests.runs.documents import attach_store, use_library
from tests.runs.kernels import Cell, FakeInterpreter, printing
from tests.runs.test_code_interpreter import (
    CODE,
    RUNNING,
    content_of,
    contents,
    fragments,
    outputs_of,
)
from tests.runs.test_file_search import ANSWERING, FILE_SEARCH, HEAD, QUESTION, SEARCHING

USED = Usage(10, 5)


class ScriptedCoder:
    """Wants code when the newest message says so, and writes the next of ``cells`` in two pieces.
    What it was told is in ``asked``."""

    def __init__(
        self,
        *cells: str,
        says: Sequence[str] | None = ("Done.",),
        used: Usage = USED,
    ) -> None:
        self.used = used
        self.cells = list(cells)
        self.says = says
        self.asked: list[tuple[str, bool]] = []
        self.shown: list[list[Execution]] = []
        self.allowed: list[int | None] = []

    async def decide(
        self, conversation: Sequence[ChatMessage], files: Sequence[CodeFile], demanded: bool
    ) -> Decision:
        newest = conversation[-1].content
        self.asked.append((newest, demanded))
        is_wanted = demanded or "compute" in newest
        return Decision(is_wanted, "it says so", Usage(3, 1))

    async def write(
        self,
        conversation: Sequence[ChatMessage],
        files: Sequence[CodeFile],
        executions: Sequence[Execution],
        most_tokens: int | None,
    ) -> AsyncGenerator[str | Written, None]:
        self.shown.append(list(executions))
        self.allowed.append(most_tokens)
        cell = self.cells.pop(0) if self.cells else ""
        if cell:
            yield cell[:3]
            yield cell[3:]
        yield Written(cell, self.used, "scripted")

    def answer(
        self, conversation: Sequence[ChatMessage], executions: Sequence[Execution]
    ) -> Sequence[str] | None:
        return self.says


@asynccontextmanager
async def led(
    open_scripted: OpenRuntime,
    monkeypatch: pytest.MonkeyPatch,
    coder: ScriptedCoder | None,
    kernels: FakeInterpreter,
    *tools: Any,
    question: str = "Please compute.",
    engine: ScriptedEngine | None = None,
) -> AsyncIterator[Talk]:
    if coder is not None:
        monkeypatch.setattr(code_interpreter, "Coder", lambda *_: coder)
    engine = engine or ScriptedEngine(model_id="scripted", default_reply="A free answer.")
    async with open_scripted(engine, tool_mode="guided", interpreter=kernels) as runtime:
        yield await begin(runtime, question, tools=[*tools] or [CODE])


async def test_code_is_written_run_and_told_of(
    open_scripted: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    says = ("Here it is: ", "[a.csv](sandbox:/mnt/data/a.csv).")
    coder = ScriptedCoder("print(6 * 7)", says=says)
    cell = Cell((Printed("42\n"), Shown("file-1")), files={"a.csv": "file-a"})
    kernels = FakeInterpreter(cell)
    async with led(open_scripted, monkeypatch, coder, kernels) as talk:
        run = await talk.start()
        events = await talk.events(run)
        assert names(events) == [*HEAD, *RUNNING, *ANSWERING]
        first, *more = fragments(events)
        assert first["code_interpreter"] == {"input": "", "outputs": []}
        inputs = [p["code_interpreter"].get("input") for p in more]
        assert inputs == ["pri", "nt(6 * 7)", None, None]
        assert kernels.prepared == [talk.thread_id] and coder.asked == [("Please compute.", False)]
        image, text = await content_of(talk)
        assert image["image_file"] == {"file_id": "file-1"}
        assert text["text"]["value"] == "".join(says)
        (link,) = text["text"]["annotations"]
        assert link["file_path"] == {"file_id": "file-a"}
        assert [part["index"] for parts in contents(events) for part in parts][:2] == [0, 1]
        step, message = [one.dump() for one in await talk.steps(run)]
        assert step["usage"]["prompt_tokens"] == 13 and message["usage"]["total_tokens"] == 0
        assert json.loads(step["metadata"]["code_wanted"]) == "it says so"
        assert json.loads(step["metadata"]["code_from"]) == "scripted"
        finished = await talk.look(run)
        assert finished.usage is not None and finished.usage.total_tokens == 19


async def test_code_that_fails_is_written_again(
    open_scripted: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    coder = ScriptedCoder("one()", "two()", "three()")
    kernels = FakeInterpreter(printing("NameError\n", ending="error"), printing("fine"))
    async with led(open_scripted, monkeypatch, coder, kernels) as talk:
        run = await talk.start()
        assert names(await talk.events(run)) == [*HEAD, *RUNNING, *RUNNING, *ANSWERING]
        assert kernels.codes == ["one()", "two()"] and len(coder.asked) == 1
        assert [[e.logs for e in shown] for shown in coder.shown] == [[], ["NameError\n"]]
        assert await outputs_of(talk, run) == [[{"type": "logs", "logs": "NameError\n"}]]
        assert coder.allowed == [None, None]


async def test_a_coder_is_told_what_may_still_be_written(
    open_scripted: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    coder = ScriptedCoder("one()", "two()")
    kernels = FakeInterpreter(printing("NameError\n", ending="error"), printing("fine"))
    async with led(open_scripted, monkeypatch, coder, kernels) as talk:
        assert (await talk.finish(max_completion_tokens=256)).status == "completed"
        # One token has gone into the decision, five into the first cell.
        assert coder.allowed == [255, 250]


async def test_attempts_come_to_an_end(
    open_scripted: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    coder = ScriptedCoder(*["bad()"] * 5, says=("It did not work.",))
    kernels = FakeInterpreter(*[printing("Error", ending="error")] * 5)
    async with led(open_scripted, monkeypatch, coder, kernels) as talk:
        run = await talk.finish()
        assert run.status == "completed" and len(kernels.ran) == 3  # runs.code_attempts
        assert (await talk.texts())[-1] == ("assistant", "It did not work.")


async def test_a_coder_with_nothing_left_to_try_answers(
    open_scripted: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    coder = ScriptedCoder("one()", says=("It did not work.",))
    kernels = FakeInterpreter(printing("Error", ending="error"))
    async with led(open_scripted, monkeypatch, coder, kernels) as talk:
        run = await talk.start()
        assert names(await talk.events(run)) == [*HEAD, *RUNNING, *ANSWERING]
        used = [step.dump()["usage"]["total_tokens"] for step in await talk.steps(run)]
        assert used == [19, 15]  # the last attempt at writing is part of the answer


async def test_an_answer_that_costs_nothing_needs_no_budget(
    open_scripted: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    coder, kernels = ScriptedCoder("x", used=Usage(10, 300)), FakeInterpreter(printing("1"))
    async with led(open_scripted, monkeypatch, coder, kernels) as talk:
        assert (await talk.finish(max_completion_tokens=256)).status == "completed"
    failing = FakeInterpreter(printing("Error", ending="error"))
    coder = ScriptedCoder("x", "y", used=Usage(10, 300))
    async with led(open_scripted, monkeypatch, coder, failing) as talk:
        run = await talk.finish(max_completion_tokens=256)
        assert run.status == "incomplete" and failing.codes == ["x"]


async def test_without_words_for_it_the_model_answers_from_the_output(
    open_scripted: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = ScriptedEngine("It is 42.", model_id="scripted")
    kernels = FakeInterpreter(printing("42"))
    coder = ScriptedCoder("print(42)", says=None)
    async with led(open_scripted, monkeypatch, coder, kernels, engine=engine) as talk:
        await talk.finish()
        assert (await talk.texts())[-1] == ("assistant", "It is 42.")
        shown = engine.detokenize(engine.requests[-1].prompt)
        assert "The result of python is: 42" in shown


async def test_code_that_nobody_wants_is_not_written(
    open_scripted: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    coder, kernels = ScriptedCoder("x"), FakeInterpreter()
    async with led(open_scripted, monkeypatch, coder, kernels, question="Hello!") as talk:
        run = await talk.start()
        assert names(await talk.events(run)) == [*HEAD, *ANSWERING]
        assert not kernels.prepared and coder.asked == [("Hello!", False)]
        (message,) = [one.dump() for one in await talk.steps(run)]
        assert message["usage"]["prompt_tokens"] > 3
        assert "code_wanted" in message["metadata"]


async def test_code_that_is_demanded_is_written(
    open_scripted: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    coder, kernels = ScriptedCoder("x"), FakeInterpreter(printing("1"))
    async with led(open_scripted, monkeypatch, coder, kernels, question="Hello!") as talk:
        assert (await talk.finish(tool_choice=CODE)).status == "completed"
        assert coder.asked == [("Hello!", True)] and kernels.codes == ["x"]


async def test_functions_come_first(
    open_scripted: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    coder, kernels = ScriptedCoder("x"), FakeInterpreter(printing("1"))
    question = "Compute the weather in Paris."
    engine = ScriptedEngine(
        model_id="scripted",
        default_reply='"Paris"',
        scorer=lambda prompt, text: 0.0 if "get_weather" in text else -30.0,
    )
    async with led(
        open_scripted, monkeypatch, coder, kernels, WEATHER, CODE, question=question, engine=engine
    ) as talk:
        run = await talk.finish()
        assert run.status == "requires_action" and not kernels.ran and not coder.asked


@pytest.mark.parametrize("question", [QUESTION, "Please compute when the museum opens."])
async def test_code_goes_before_a_search(
    open_scripted: OpenRuntime, monkeypatch: pytest.MonkeyPatch, question: str
) -> None:
    coder, kernels = ScriptedCoder("x"), FakeInterpreter(printing("1"))
    async with led(
        open_scripted, monkeypatch, coder, kernels, FILE_SEARCH, CODE, question=question
    ) as talk:
        use_library(talk.runtime)
        await attach_store(talk)
        run = await talk.start()
        done = RUNNING if "compute" in question else SEARCHING
        assert names(await talk.events(run)) == [*HEAD, *done, *ANSWERING]


async def test_code_of_the_users_own_is_run_as_it_is(
    open_scripted: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the coder that models have."""
    kernels = FakeInterpreter(printing(""), printing("42"))
    async with led(open_scripted, monkeypatch, None, kernels, question="x = 41") as talk:
        assert (await talk.finish()).status == "completed"
        await talk.say("x + 1")
        await talk.finish()
        assert kernels.codes == ["x = 41\n", "x + 1\n"]
        assert "42" in (await talk.texts())[-1][1]


async def test_an_interrupted_answer_is_told_whole(
    open_scripted: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message was stored in one piece, and its run was not ended yet."""
    coder, kernels = ScriptedCoder("x"), FakeInterpreter(Cell((Shown("file-1"),)))
    async with led(open_scripted, monkeypatch, coder, kernels) as talk:
        runs = talk.runtime.runs

        async def stop(*args: Any, **options: Any) -> None:
            raise KeyError("the process dies here")

        monkeypatch.setattr(Recorder, "complete", stop)
        monkeypatch.setattr(Recorder, "end", stop)
        run = await talk.start()
        for _ in range(500):
            if not runs._executor._workers:
                break
            await asyncio.sleep(0.01)
        monkeypatch.undo()
    monkeypatch.setattr(code_interpreter, "Coder", lambda *_: coder)
    engine = ScriptedEngine(model_id="scripted")
    async with open_scripted(engine, tool_mode="guided", interpreter=kernels) as runtime:
        talk.runtime = runtime
        assert names(await talk.events(run)) == [*HEAD, *RUNNING, *ANSWERING]
        image, text = await content_of(talk)
        assert (image["image_file"]["file_id"], text["text"]["value"]) == ("file-1", "Done.")
