"""Answers from documents: quoted ones, written ones, and their annotations in log and message."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from localassist.engine import ScriptedEngine
from localassist.engine.request import Generate
from localassist.runs.annotating import AnnotatedText
from localassist.runs.recorder import OpenMessage
from localassist.schemas.base import ListQuery
from localassist.schemas.events import RunEvent
from localassist.schemas.runs import Run
from localassist.tools.file_search import Citation, Cited
from tests.runs.conftest import WEATHER, OpenRuntime, P, Talk, names
from tests.runs.documents import HOURS, FakeLibrary
from tests.runs.test_file_search import (
    ANSWERING,
    ASK_WEATHER,
    FILE_SEARCH,
    HEAD,
    QUESTION,
    SEARCH,
    SEARCHING,
    prompt,
    talking,
)

SENTENCE = "The museum opens at nine and closes at six."


async def last_text(talk: Talk, run: Run) -> dict[str, Any]:
    """The text part of the run's newest message."""
    page = await talk.runtime.messages.list(P, talk.thread_id, ListQuery(order="desc"), run.id)
    content: dict[str, Any] = page.data[0].content[0].dump()
    return content["text"]  # type: ignore[no-any-return]


def parts(events: list[RunEvent]) -> list[dict[str, Any]]:
    """The texts of all message deltas."""
    deltas = [event.data["delta"] for event in events if event.name == "thread.message.delta"]
    return [part["text"] for delta in deltas for part in delta["content"]]


def added_up(events: list[RunEvent]) -> dict[str, Any]:
    """What a reader of the deltas has in the end. Each annotation comes whole, with its marker."""
    text = {"value": "", "annotations": []}
    for part in parts(events):
        text["value"] += part["value"]
        for one in part.get("annotations", []):
            assert one["index"] == len(text["annotations"])
            assert one["text"] in part["value"]
            text["annotations"].append({k: v for k, v in one.items() if k != "index"})
    return text


def check_annotations(text: dict[str, Any]) -> None:
    for one in text["annotations"]:
        assert text["value"][one["start_index"] : one["end_index"]] == one["text"]
        assert one["file_citation"]["file_id"] == "file-hours"
        assert one["file_citation"]["quote"] in HOURS


# --- quoted --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["guided", "none"])
async def test_a_small_model_is_quoted_for(open_scripted: OpenRuntime, mode: str) -> None:
    engine = ScriptedEngine(model_id="scripted")
    async with talking(open_scripted, engine, tool_mode=mode) as (talk, library):
        run = await talk.start()
        events = await talk.events(run)
        assert names(events) == [*HEAD, *SEARCHING, *ANSWERING]
        assert library.asked[0][1] == (QUESTION,)
        text = await last_text(talk, run)
        assert f"hours.pdf, page 3: “{SENTENCE}”" in text["value"]
        assert len(text["annotations"]) >= 1
        check_annotations(text)
        assert added_up(events) == text
        assert parts(events)[0].get("annotations") == []
        assert not engine.requests  # no model was asked
        finished = await talk.look(run)
        assert finished.usage is not None and finished.usage.total_tokens == 0


async def test_a_quoted_answer_in_a_later_prompt_has_no_markers(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine(model_id="scripted", default_reply="You are welcome.")
    async with talking(open_scripted, engine, tool_mode="guided") as (talk, library):
        await talk.finish()
        await talk.say("Thanks!")
        run = await talk.finish()
        assert (await last_text(talk, run))["value"] == "You are welcome."
        assert len(library.asked) == 1  # small talk asks nothing of documents
        assert SENTENCE in prompt(engine) and "†" not in prompt(engine)


async def test_functions_come_before_the_search(open_scripted: OpenRuntime) -> None:
    """A guided model is asked about its functions first; the search's step says what it weighed."""
    engine = ScriptedEngine(model_id="scripted")
    options = {"tool_mode": "guided", "question": QUESTION}
    async with talking(open_scripted, engine, FILE_SEARCH, WEATHER, **options) as (talk, library):
        run = await talk.finish()
        assert run.status == "completed" and len(library.asked) == 1
        search, _ = await talk.steps(run)
        assert search.metadata is not None
        assert "get_weather" in search.metadata["tool_scores"]


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("Who painted the ceiling?", "The documents hold nothing about this."),
        ("Write a poem about rain.", "Drip, drop."),
    ],
)
async def test_when_nothing_is_found(open_scripted: OpenRuntime, question: str, said: str) -> None:
    engine = ScriptedEngine(model_id="scripted", default_reply="Drip, drop.")
    options = {"tool_mode": "guided", "question": question}
    async with talking(open_scripted, engine, **options) as (talk, library):
        library.texts = {"file-empty": "Nothing of interest."}
        run = await talk.finish(tool_choice=FILE_SEARCH)
        assert await last_text(talk, run) == {"value": said, "annotations": []}
        assert len(library.asked) == 1


async def test_what_fits_badly_is_not_quoted(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine(model_id="scripted")
    question = "Which painter made the ceiling of the museum so famous?"
    options = {"tool_mode": "guided", "question": question}
    async with talking(open_scripted, engine, **options) as (talk, _):
        run = await talk.finish()
        search, _ = [step.dump() for step in await talk.steps(run)]
        (call,) = search["step_details"]["tool_calls"]
        assert 0 < call["file_search"]["results"][0]["score"] < 0.5
        assert "nothing about this" in (await last_text(talk, run))["value"]


async def test_a_form_that_is_asked_for_wins_over_quotations(open_scripted: OpenRuntime) -> None:
    wanted = {"type": "json_object"}
    engine = ScriptedEngine(model_id="scripted", default_reply='{"opens": 9}')
    async with talking(open_scripted, engine, tool_mode="guided") as (talk, _):
        run = await talk.finish(response_format=wanted)
        assert await last_text(talk, run) == {"value": '{"opens": 9}', "annotations": []}
        assert HOURS in prompt(engine)


async def test_a_native_model_may_be_quoted_for(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine(SEARCH, model_id="scripted")
    models = {"quoting": {"scripted": "first"}}
    async with talking(open_scripted, engine, models=models) as (talk, _):
        run = await talk.finish()
        assert SENTENCE in (await last_text(talk, run))["value"]
        assert run.usage is not None and run.usage.completion_tokens == len(SEARCH)


# --- written -------------------------------------------------------------------------------------


def citing(request: Generate) -> str:
    """An answer with the marker that the prompt shows first, and one that nobody gave."""
    shown = "".join(map(chr, (t for t in request.prompt if t < 0x110000)))
    marker = shown[shown.index("【") : shown.index("】") + 1]
    return f"Ça ouvre à neuf heures{marker}. So I was told【99:9†source】 by someone."


@pytest.mark.parametrize("quoting", ["free", "grounded"])
async def test_markers_become_annotations(open_scripted: OpenRuntime, quoting: str) -> None:
    engine = ScriptedEngine(SEARCH, citing, model_id="scripted", piece_tokens=3)
    models = {"quoting": {"scripted": quoting}}
    async with talking(open_scripted, engine, models=models) as (talk, _):
        run = await talk.start()
        events = await talk.events(run)
        text = await last_text(talk, run)
        check_annotations(text)
        assert text["value"].startswith("Ça ouvre à neuf heures【")
        assert "99:9" not in text["value"] and len(text["annotations"]) == 1
        assert added_up(events) == text
        await talk.say("Thanks!")
        engine.enqueue("Bye.")
        await talk.finish()
        # The model is reminded of what it said, not of what was shown.
        assert "99:9" in prompt(engine)


async def test_a_refused_grounding_is_done_without(
    open_scripted: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The grammar of quotations is ours: that an engine refuses it is not the caller's fault."""
    from localassist.core import Constraint
    from localassist.runs import turns

    monkeypatch.setattr(turns, "grounded_answer", lambda results: Constraint("%llguidance {}\n!"))
    engine = ScriptedEngine(SEARCH, citing, model_id="scripted")
    models = {"quoting": {"scripted": "grounded"}}
    async with talking(open_scripted, engine, models=models) as (talk, _):
        run = await talk.finish()
        assert run.status == "completed", run.last_error
        text = await last_text(talk, run)
        check_annotations(text)
        assert len(text["annotations"]) == 1
        assert len(await talk.steps(run)) == 2


async def test_a_guided_model_may_write_its_answer(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine(model_id="scripted", default_reply=citing)
    models = {"quoting": {"scripted": "free"}}
    async with talking(open_scripted, engine, tool_mode="guided", models=models) as (talk, _):
        run = await talk.finish()
        text = await last_text(talk, run)
        check_annotations(text)
        assert HOURS in prompt(engine) and len(text["annotations"]) == 1


async def test_a_cancelled_answer_keeps_its_annotations(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine(
        SEARCH, lambda request: citing(request) + " More." * 500, model_id="scripted"
    )
    models = {"quoting": {"scripted": "free"}}
    async with talking(open_scripted, engine, models=models) as (talk, _):
        engine._delay_seconds = 0.01
        run = await talk.start()
        seen: list[RunEvent] = []
        async for event in talk.runtime.runs.events(P, talk.thread_id, run.id):
            seen.append(event)
            if event.name == "thread.message.delta" and "annotations" in str(event.data):
                if len(added_up(seen)["annotations"]) == 1:
                    break
        await talk.runtime.runs.cancel(P, talk.thread_id, run.id)
        events = await talk.events(run)
        assert events[-1].name == "thread.run.cancelled"
        text = await last_text(talk, run)
        assert len(text["annotations"]) == 1 and added_up(events) == text
        check_annotations(text)


def test_places_are_counted_from_the_beginning_of_the_message() -> None:
    before = [{"text": "【1:0†source】", "start_index": 3, "end_index": 15}]
    text = AnnotatedText(OpenMessage("msg_1", "step_1", "𝔘né【1:0†source】", (), tuple(before)))
    piece = text.add(
        Cited(" 𝔙 【1:1†source】.", (Citation("【1:1†source】", 3, 15, "file-1", "q"),))
    )
    assert (piece.first, piece.annotations[0]["start_index"]) == (1, 18)
    shown = text.shown
    assert shown.text == "𝔘né【1:0†source】 𝔙 【1:1†source】."
    for one in shown.annotations:
        assert shown.text[one["start_index"] : one["end_index"]] == one["text"]


# --- interrupted ---------------------------------------------------------------------------------


class SlowLibrary(FakeLibrary):
    """Does not come back from its first search."""

    def __init__(self) -> None:
        super().__init__()
        self.has_begun = asyncio.Event()

    async def search(self, *args: Any, **options: Any) -> Any:
        found = await super().search(*args, **options)
        self.has_begun.set()
        if len(self.asked) == 1:
            await asyncio.sleep(60)
        return found


@pytest.mark.parametrize("mode", ["native", "guided"])
async def test_a_search_that_was_interrupted_is_made_again(
    open_scripted: OpenRuntime, mode: str
) -> None:
    replies = [SEARCH, SEARCH, "At nine."] if mode == "native" else []
    engine = ScriptedEngine(*replies, model_id="scripted")
    library = SlowLibrary()
    async with talking(open_scripted, engine, tool_mode=mode) as (talk, _):
        talk.runtime.runs._executor._loop._searcher._library = library  # type: ignore[assignment]
        run = await talk.start()
        await library.has_begun.wait()
        # The engine is a double; the run is parked as at an orderly stop.
    async with open_scripted(engine, tool_mode=mode) as runtime:
        runtime.runs._executor._loop._searcher._library = library  # type: ignore[assignment]
        talk = Talk(runtime, talk.assistant_id, talk.thread_id)
        events = await talk.events(run)
        broken = ["S.created", "S.in_progress", "S.delta", "S.failed"]
        assert names(events) == [*HEAD, *broken, *SEARCHING, *ANSWERING]
        failed, done, _ = [step.dump() for step in await talk.steps(run)]
        (kept,) = failed["step_details"]["tool_calls"]
        assert kept["type"] == "file_search" and kept["file_search"] == {}
        assert done["step_details"]["tool_calls"][0]["file_search"]["results"]


async def test_a_cancelled_search_closes_its_step(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine(model_id="scripted")
    async with talking(open_scripted, engine, tool_mode="guided") as (talk, _):
        library = SlowLibrary()
        talk.runtime.runs._executor._loop._searcher._library = library  # type: ignore[assignment]
        run = await talk.start()
        await library.has_begun.wait()
        await talk.runtime.runs.cancel(P, talk.thread_id, run.id)
        events = await talk.events(run)
        ending = ["S.delta", "R.cancelling", "S.cancelled", "R.cancelled"]
        assert names(events)[-4:] == ending


async def test_a_written_answer_goes_on_where_it_stopped(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine(
        SEARCH, lambda request: citing(request) + " More." * 60, model_id="scripted"
    )
    models = {"quoting": {"scripted": "free"}}
    async with talking(open_scripted, engine, models=models) as (talk, _):
        engine._delay_seconds = 0.01
        run = await talk.start()
        seen: list[RunEvent] = []
        async for event in talk.runtime.runs.events(P, talk.thread_id, run.id):
            seen.append(event)
            if len(added_up(seen)["annotations"]) == 1:
                break
        wanted = engine.requests[-1]

    def whole(request: Generate) -> str:
        """What was shown so far, and the rest."""
        said = "".join(map(chr, request.continued))
        assert said.startswith("Ça ouvre à neuf heures【")
        return said + " That was【{}†source】 all.".format(
            said[said.index("【") + 1 : said.index("†")]
        )

    engine._delay_seconds = 0.0
    engine._replies.clear()
    engine.enqueue(whole)
    async with open_scripted(engine, models=models) as runtime:
        talk = Talk(runtime, talk.assistant_id, talk.thread_id)
        events = await talk.events(run)
        assert engine.requests[-1].prompt == wanted.prompt
        text = await last_text(talk, run)
        assert added_up(events) == text and len(text["annotations"]) == 2
        check_annotations(text)
        assert (await talk.look(run)).status == "completed"


async def test_weather_is_not_looked_up_in_documents(open_scripted: OpenRuntime) -> None:
    """After the caller's function has been answered, the model speaks of its output."""
    engine = ScriptedEngine(ASK_WEATHER, "It rains.", model_id="scripted")
    async with talking(open_scripted, engine, FILE_SEARCH, WEATHER) as (talk, library):
        run = await talk.finish()
        assert run.required_action is not None and not library.asked
