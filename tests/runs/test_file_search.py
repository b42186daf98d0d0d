"""Runs that search: the step, what the model is shown, and what later turns and runs see of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from localassist.engine import ScriptedEngine
from localassist.errors import InvalidRequest
from localassist.schemas.runs import SubmitToolOutputs
from localassist.storage.tables import VectorStoreRow
from tests.runs.conftest import WEATHER, OpenRuntime, P, Talk, begin, names
from tests.runs.documents import HOURS, FakeLibrary, attach_store, use_library

FILE_SEARCH: dict[str, Any] = {"type": "file_search"}
HEAD = ["R.created", "R.queued", "R.in_progress"]
SEARCHING = ["S.created", "S.in_progress", "S.delta", "S.completed"]
ANSWERING = [
    "S.created",
    "S.in_progress",
    "M.created",
    "M.in_progress",
    "M.delta",
    "M.completed",
    "S.completed",
    "R.completed",
]
QUESTION = "When does the museum open?"


def called(name: str, **arguments: Any) -> str:
    body = json.dumps({"name": name, "arguments": arguments})
    return f"<tool_call>\n{body}\n</tool_call>"


SEARCH = called("file_search", queries=["museum opens"])
ASK_WEATHER = called("get_weather", city="Paris")


@asynccontextmanager
async def talking(
    open_scripted: OpenRuntime, engine: ScriptedEngine, *tools: Any, **options: Any
) -> AsyncIterator[tuple[Talk, FakeLibrary]]:
    """A thread whose assistant has a vector store, and the library behind it."""
    question = options.pop("question", QUESTION)
    async with open_scripted(engine, **options) as runtime:
        talk = await begin(runtime, question, tools=[*tools] or [FILE_SEARCH])
        library = use_library(runtime)
        await attach_store(talk)
        yield talk, library


def prompt(engine: ScriptedEngine, number: int = -1) -> str:
    return engine.detokenize(engine.requests[number].prompt)


# --- a model that calls the search ----------------------------------------------------------------


async def test_a_search_is_a_step_and_the_model_goes_on(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine(SEARCH, "It opens at nine.", model_id="scripted")
    async with talking(open_scripted, engine) as (talk, library):
        run = await talk.start()
        events = await talk.events(run)
        assert names(events) == [*HEAD, *SEARCHING, *ANSWERING]
        (delta,) = [e.data["delta"] for e in events if e.name == "thread.run.step.delta"]
        (call,) = delta["step_details"]["tool_calls"]
        assert call == {"index": 0, "id": call["id"], "type": "file_search", "file_search": {}}
        search, message = [step.dump() for step in await talk.steps(run)]
        (done,) = search["step_details"]["tool_calls"]
        ranking = {"ranker": "default_2024_08_21", "score_threshold": 0.0}
        assert (done["id"], done["file_search"]["ranking_options"]) == (call["id"], ranking)
        first = done["file_search"]["results"][0]
        assert (first["file_id"], first["file_name"]) == ("file-hours", "hours.pdf")
        assert first["content"] == [{"type": "text", "text": HOURS}]
        assert json.loads(search["metadata"]["queries"]) == ["museum opens"]
        assert json.loads(search["metadata"]["found"])[0] == ["hours.pdf, page 3", 1.0]
        (asked,) = library.asked
        assert asked[1] == ("museum opens",)
        assert asked[2]["limit"] == 20 and asked[2]["form"] == "passages"
        assert asked[2]["budget"] == min(16_000, engine.context_length // 2)
        assert HOURS in prompt(engine) and "【" in prompt(engine)
        finished = await talk.look(run)
        used = [step["usage"]["total_tokens"] for step in (search, message)]
        assert finished.usage is not None and finished.usage.total_tokens == sum(used)


async def test_passages_fit_into_what_is_left_of_a_prompt_budget(
    open_scripted: OpenRuntime,
) -> None:
    engine = ScriptedEngine(SEARCH, "At nine.", model_id="scripted")
    async with talking(open_scripted, engine) as (talk, library):
        run = await talk.finish(max_prompt_tokens=4000)
        assert run.status == "completed"
        # The next prompt begins with this one.
        left = 4000 - 2 * len(engine.requests[0].prompt)
        assert library.asked[0][2]["budget"] == left // 2


async def test_a_later_run_sees_the_message_but_not_the_search(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine(
        "Let me look. " + SEARCH, "It opens at nine.", "You are welcome.", model_id="scripted"
    )
    async with talking(open_scripted, engine) as (talk, _):
        await talk.finish()
        assert "Let me look." in prompt(engine) and HOURS in prompt(engine)
        await talk.say("Thanks!")
        await talk.finish()
        seen = prompt(engine)
        assert "Let me look." in seen and "It opens at nine" in seen
        assert HOURS not in seen and "museum opens" not in seen


async def test_options_of_the_tool_reach_the_search(open_scripted: OpenRuntime) -> None:
    options = {"max_num_results": 1, "ranking_options": {"score_threshold": 0.9}}
    tool = {**FILE_SEARCH, "file_search": options}
    queries = called("file_search", queries=["museum opens", " ", "ticket"])
    engine = ScriptedEngine(queries, "I see.", model_id="scripted")
    async with talking(open_scripted, engine, tool) as (talk, library):
        run = await talk.finish()
        assert library.asked[0][1] == ("museum opens", "ticket")
        assert library.asked[0][2]["limit"] == 1
        assert library.asked[0][2]["score_threshold"] == 0.9
        (call,) = (await talk.steps(run))[0].dump()["step_details"]["tool_calls"]
        assert call["file_search"]["results"] == []
        assert call["file_search"]["ranking_options"]["score_threshold"] == 0.9


async def test_several_searches_and_rounds(open_scripted: OpenRuntime) -> None:
    two = (
        called("file_search", queries=["opens"]) + "\n" + called("file_search", queries=["ticket"])
    )
    engine = ScriptedEngine(two, SEARCH, "Nine, and twelve euros.", model_id="scripted")
    models = {"quoting": {"scripted": "free"}}
    async with talking(open_scripted, engine, models=models) as (talk, library):
        run = await talk.start()
        events = await talk.events(run)
        assert names(events) == [*HEAD, *SEARCHING, *SEARCHING, *ANSWERING]
        steps = [step.dump() for step in await talk.steps(run)]
        calls = [step["step_details"]["tool_calls"] for step in steps[:2]]
        assert [len(made) for made in calls] == [2, 1]
        assert len(library.asked) == 3
        shown = prompt(engine)
        markers = {part.split("】")[0] for part in shown.split("【")[1:]}
        numbers = {marker.split(":")[0] for marker in markers}
        assert len(numbers) == 3  # searches can be told apart


async def test_searches_and_functions_of_one_turn(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine(ASK_WEATHER + "\n" + SEARCH, "Rain; at nine.", model_id="scripted")
    async with talking(open_scripted, engine, FILE_SEARCH, WEATHER) as (talk, _):
        run = await talk.start()
        events = await talk.events(run)
        assert names(events) == [
            *HEAD,
            "S.created",
            "S.in_progress",
            "S.delta",
            "R.requires_action",
        ]
        waiting = await talk.look(run)
        assert waiting.required_action is not None
        (wanted,) = waiting.required_action.submit_tool_outputs.tool_calls
        assert wanted.function.name == "get_weather"
        (step,) = [step.dump() for step in await talk.steps(run)]
        types = [call["type"] for call in step["step_details"]["tool_calls"]]
        assert (step["status"], types) == ("in_progress", ["function", "file_search"])
        given = {"tool_outputs": [{"tool_call_id": wanted.id, "output": "rain"}]}
        submitted = await talk.runtime.runs.submit_tool_outputs(
            P, talk.thread_id, run.id, SubmitToolOutputs.model_validate(given)
        )
        rest = await talk.events(run, submitted.after_seq)
        assert names(rest) == ["S.completed", "R.queued", "R.in_progress", *ANSWERING]
        function, search = rest[0].data["step_details"]["tool_calls"]
        assert function["function"]["output"] == "rain"
        assert search["file_search"]["results"][0]["file_id"] == "file-hours"
        assert HOURS in prompt(engine) and "rain" in prompt(engine)
        await talk.say("And now?")
        engine.enqueue("Nothing new.")
        await talk.finish()
        # Of the same turn, the function stays and the search goes.
        assert "get_weather" in prompt(engine) and HOURS not in prompt(engine)
        assert "museum opens" not in prompt(engine)


async def test_a_function_of_that_name_is_the_callers(open_scripted: OpenRuntime) -> None:
    mine = {
        "type": "function",
        "function": {"name": "file_search", "parameters": {"properties": {}}},
    }
    engine = ScriptedEngine(
        called("search_files", queries=["opens"]), called("file_search"), model_id="scripted"
    )
    async with talking(open_scripted, engine, FILE_SEARCH, mine) as (talk, library):
        run = await talk.finish()
        assert len(library.asked) == 1 and run.required_action is not None
        (wanted,) = run.required_action.submit_tool_outputs.tool_calls
        assert wanted.function.name == "file_search"


async def test_a_model_that_never_stops_searching_is_stopped(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine(model_id="scripted", default_reply=SEARCH)
    runs = {"poll_seconds": 0.05, "max_tool_rounds": 3}
    models = {"quoting": {"scripted": "free"}}
    async with talking(open_scripted, engine, runs=runs, models=models) as (talk, library):
        run = await talk.finish()
        assert run.status == "failed" and run.last_error is not None
        assert "3 times" in run.last_error.message and len(library.asked) == 3


async def test_without_stores_nothing_is_searched(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine("I know nothing.", model_id="scripted")
    async with open_scripted(engine) as runtime:
        talk = await begin(runtime, QUESTION, tools=[FILE_SEARCH])
        library = use_library(runtime)
        run = await talk.finish()
        assert run.status == "completed" and not library.asked
        assert "file_search" not in prompt(engine)


# --- choices --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["native", "guided", "none"])
@pytest.mark.parametrize("choice", ["required", FILE_SEARCH])
async def test_a_search_that_is_demanded_is_made(
    open_scripted: OpenRuntime, mode: str, choice: Any
) -> None:
    engine = ScriptedEngine(SEARCH, model_id="scripted", default_reply="At nine.")
    if mode != "native":
        engine = ScriptedEngine(model_id="scripted", default_reply="At nine.")
    async with talking(open_scripted, engine, tool_mode=mode, question="Hi") as (talk, library):
        run = await talk.finish(tool_choice=choice)
        assert run.status == "completed" and len(library.asked) == 1
        kinds = [step.type for step in await talk.steps(run)]
        assert kinds == ["tool_calls", "message_creation"]


@pytest.mark.parametrize("mode", ["native", "guided"])
async def test_no_tools_means_no_search(open_scripted: OpenRuntime, mode: str) -> None:
    engine = ScriptedEngine(model_id="scripted", default_reply="I cannot look.")
    async with talking(open_scripted, engine, tool_mode=mode) as (talk, library):
        run = await talk.finish(tool_choice="none")
        assert run.status == "completed" and not library.asked
        assert (await talk.texts())[-1] == ("assistant", "I cannot look.")


async def test_a_choice_that_is_not_declared_is_refused(talk: Talk) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await talk.start(tool_choice=FILE_SEARCH)
    assert caught.value.param == "tool_choice"


# --- stores ---------------------------------------------------------------------------------------


async def test_stores_of_assistant_and_thread_are_searched_together(
    open_scripted: OpenRuntime,
) -> None:
    engine = ScriptedEngine(SEARCH, "At nine.", model_id="scripted")
    async with talking(open_scripted, engine) as (talk, library):
        of_thread = await attach_store(talk, "thread")
        waited: list[Any] = []

        async def wait(store_ids: Any, seconds: float) -> None:
            waited.append((tuple(store_ids), seconds))

        talk.runtime.runs._executor._loop._searcher._wait_for_files = wait
        await talk.finish()
        assert waited == [((of_thread,), 60.0)]
        assert len(library.asked[0][0]) == 2 and library.asked[0][0][1] == of_thread


async def test_an_expired_store_is_refused_and_a_used_one_lives_on(
    open_scripted: OpenRuntime,
) -> None:
    engine = ScriptedEngine(model_id="scripted", default_reply="Yes.")
    async with open_scripted(engine) as runtime:
        talk = await begin(runtime, QUESTION, tools=[FILE_SEARCH])
        use_library(runtime)
        store_id = await attach_store(talk)

        def age(session: Any, seconds: int) -> None:
            row = session.query(VectorStoreRow).filter_by(id=store_id).one()
            row.last_active_at -= seconds

        database = runtime.runs._database
        await database.write(lambda session: age(session, 80_000))
        await talk.finish()
        await database.write(lambda session: age(session, 80_000))  # it was used just now
        await talk.say("And?")
        await talk.finish()
        await database.write(lambda session: age(session, 90_000))
        await talk.say("And?")
        with pytest.raises(InvalidRequest) as caught:
            await talk.start()
        assert caught.value.message == f"Vector store {store_id} is expired."
        assert (await talk.finish(tools=[])).status == "completed"  # it has no use for the store
