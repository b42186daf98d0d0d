"""One turn of a run: what the model may do, what it is shown, and how its answer is made.

A model that writes calls itself is offered file search among its functions. For any other the run
searches by itself before the answer, unless a function is called. An answer from documents is
quoted from them, or written by the model and read for citations, as the model's ``quoting`` says.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from localassist import ids
from localassist.core import GeneratedText, ToolCall, Usage
from localassist.errors import GrammarRejected, LocalAssistError
from localassist.runs import context
from localassist.runs.calls import Round
from localassist.runs.config import RunSettings
from localassist.runs.offer import Offer, Progress, offer
from localassist.runs.prompting import Prompting, tokens_of
from localassist.runs.recorder import OpenMessage
from localassist.runs.searching import (
    FILE_SEARCH,
    Search,
    Searcher,
    evidence_of,
    found_by,
    is_built_in,
    queries_in,
)
from localassist.runs.subject import Subject, dumped
from localassist.runs.turn_writer import CitedText, TurnWriter, WriterOptions
from localassist.services.models import ChatModel
from localassist.services.turn import take_turn
from localassist.services.turn_items import TurnEnded, TurnRequest
from localassist.storage import items
from localassist.storage.database import Database
from localassist.storage.items import Item
from localassist.tools.file_search import (
    CitationReader,
    Cited,
    grounded_answer,
    nothing_found,
    queries_of,
    quote_first,
)
from localassist.tools.grammar import Validate

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Looked:
    """What came of looking before answering: the run waits for its caller, or has searched, or goes
    on to its answer. ``usage`` and ``evidence`` are of finding that out."""

    usage: Usage = Usage()
    evidence: Mapping[str, Any] = field(default_factory=dict)
    is_waiting: bool = False
    has_searched: bool = False


class Turns:
    """Takes turns of runs; one instance serves all of a process."""

    def __init__(
        self, database: Database, validate: Validate, searcher: Searcher, settings: RunSettings
    ) -> None:
        self._database = database
        self._validate = validate
        self._searcher = searcher
        self._settings = settings
        self._prompting = Prompting(settings)

    async def take(self, subject: Subject, opened: OpenMessage | None) -> Usage | None:
        """One turn, from the message that an interrupted worker left open, if it did. What the turn
        has used when the run goes on, None when it rests. Raises BudgetSpent."""
        found = await self._database.read(
            lambda session: items.of_thread(session, subject.run.thread_id)
        )
        done = _progress(found, subject.run.id)
        may = self._offer(subject, done)
        looked = _Looked()
        if may.search != "no" and opened is None:
            looked = await self._look(subject, found, may)
            if looked.is_waiting:
                return None
            if looked.has_searched:
                return looked.usage
            may = Offer()
        search = found_by(found, subject.run.id)
        if search is not None and _is_quoted(subject, search) and not done.has_called:
            # A long time for an event loop, when there are many passages.
            said = await asyncio.to_thread(self._quotation, _question(found), search)
            if said:
                await _say(subject, opened, said)
                return None
        return await self._generate(subject, found, may, opened, looked)

    def _offer(self, subject: Subject, done: Progress) -> Offer:
        if done.rounds >= self._settings.max_tool_rounds:
            raise LocalAssistError(
                f"The model asked for tools {done.rounds} times without answering; the run was "
                "stopped."
            )
        return offer(
            subject.toolbox,
            dumped(subject.run.tool_choice),
            done,
            calls_itself=subject.calls_itself,
            has_stores=bool(subject.stores.ids),
            is_grounded=subject.wants_text and subject.model.quoting == "grounded",
        )

    # -- searching before the answer ------------------------------------------------------------

    async def _look(self, subject: Subject, found: Sequence[Item], may: Offer) -> _Looked:
        """Call a function, or else search."""
        entries = context.conversation(found, subject.run.id)
        request, _ = await self._prompting.request(subject, entries, may)
        looked = _Looked()
        if may.functions and subject.model.guided is not None:
            looked = await self._plan(subject, request)
            if looked.is_waiting:
                return looked
        queries = queries_of(request.messages)
        if not queries and may.search == "may":
            return looked
        await self._search_now(subject, queries or [_question(found)], found, looked)
        return replace(looked, has_searched=True)

    async def _plan(self, subject: Subject, request: TurnRequest) -> _Looked:
        """Let a function be called if one fits."""
        writer = self._writer(subject, None)
        looked = _Looked()
        request = replace(request, answers=False)
        async with aclosing(take_turn(subject.model, request, self._validate)) as turn:
            async for item in turn:
                if isinstance(item, TurnEnded):
                    looked = _Looked(item.usage, item.evidence, is_waiting=bool(item.calls))
                if looked.is_waiting or not isinstance(item, TurnEnded):
                    await writer.write(item)
        return looked

    async def _search_now(
        self, subject: Subject, queries: Sequence[str], found: Sequence[Item], looked: _Looked
    ) -> None:
        """A step of its own, as if the model had called the search."""
        recorder, call_id = subject.recorder, ids.new_id("call")
        step_id = await recorder.open_calls(call_id)
        search = await self._search(subject, queries, len(found))
        arguments = json.dumps({"queries": list(queries)}, ensure_ascii=False)
        call = ToolCall(call_id, FILE_SEARCH, arguments)
        markup = subject.model.tool_format.render_calls((call,))
        made = Round(
            (call,),
            GeneratedText(markup, (), subject.model.manifest.id),
            looked.usage,
            {call_id: search},
            evidence={**looked.evidence, **evidence_of((search,))},
        )
        await recorder.complete_calls(step_id, made)

    async def _search(
        self, subject: Subject, queries: Sequence[str], ordinal: int, prompt_tokens: int = 0
    ) -> Search:
        """``prompt_tokens`` are those of the turn in which the search is made."""
        options = subject.toolbox.file_search
        assert options is not None, "only declared tools are called"
        room = subject.model.engine.context_length
        limit = subject.run.max_prompt_tokens
        if limit is not None and subject.model.quoting != "first":
            # The next prompt begins with this one, and both are paid for.
            used = subject.job.used.prompt_tokens + 2 * prompt_tokens
            room = max(0, min(room, limit - used))
        return await self._searcher.search(
            subject.job.project,
            subject.stores,
            queries,
            options,
            ordinal=ordinal,
            context_tokens=room,
        )

    def _quotation(self, question: str, search: Search) -> tuple[Cited, ...]:
        """What the documents say, or that they say nothing; empty where the model is to answer."""
        best = max((result.passage.score for result in search.results), default=0.0)
        if best >= self._settings.relevance_score:
            quoted = quote_first("\n".join(search.queries) or question, search.results)
            if quoted is not None:
                return quoted.pieces
        absence = nothing_found(question, search.unread)
        return () if absence is None else (Cited(absence),)

    # -- the model's own turn -------------------------------------------------------------------

    async def _generate(
        self,
        subject: Subject,
        found: Sequence[Item],
        may: Offer,
        opened: OpenMessage | None,
        looked: _Looked,
    ) -> Usage | None:
        model, run = subject.model, subject.run
        # A model that is not to use passages is confused by them.
        is_shown = subject.calls_itself or model.quoting != "first" or not subject.wants_text
        searched = found_by(found, run.id) if is_shown else None
        results = () if searched is None else searched.results
        entries = context.conversation(found, run.id if is_shown else None)
        request, prompt_tokens = await self._prompting.request(subject, entries, may)
        reader = None
        if results and subject.wants_text:
            reader = CitationReader(results)
        if reader is not None and model.quoting == "grounded" and not request.tools:
            # Its size grows with the passages: not on the event loop.
            grounding = await asyncio.to_thread(grounded_answer, results)
            request = replace(request, grounding=grounding)
        if opened is not None:
            request = replace(request, continued=tokens_of(opened, model))

        async def search(call: ToolCall, number: int) -> Search:
            ordinal = len(found) + number
            return await self._search(subject, queries_in(call), ordinal, prompt_tokens)

        writer = self._writer(
            subject,
            opened,
            search_name=may.search_name,
            search=search,
            reader=reader,
            spent=looked.usage,
            evidence=looked.evidence,
        )
        try:
            await self._write(model, request, writer)
        except GrammarRejected as error:
            if request.grounding is None or writer.has_begun:
                raise
            # An answer whose quotations are only read for citations is better than none.
            _log.warning("run %s is not grounded: %s", run.id, error.message)
            await self._write(model, replace(request, grounding=None), writer)
        return writer.used

    async def _write(self, model: ChatModel, request: TurnRequest, writer: TurnWriter) -> None:
        async with aclosing(take_turn(model, request, self._validate)) as turn:
            async for item in turn:
                await writer.write(item)

    def _writer(self, subject: Subject, opened: OpenMessage | None, **options: Any) -> TurnWriter:
        made = WriterOptions(
            self._settings.lifetime_seconds,
            has_budget=subject.run.max_completion_tokens is not None,
            **options,
        )
        return TurnWriter(subject.model.manifest.id, subject.recorder, opened, made)


def _progress(found: Sequence[Item], run_id: str) -> Progress:
    rounds = [item for item in found if item.kind == "calls" and item.run_id == run_id]
    made = [call for item in rounds for call in item.payload["calls"]]
    return Progress(
        len(rounds),
        has_called=any(not is_built_in(call) for call in made),
        has_searched=any(is_built_in(call) for call in made),
    )


def _question(found: Sequence[Item]) -> str:
    """The newest message of the user's."""
    asked = [e.message for e in context.conversation(found) if e.message.role == "user"]
    return asked[-1].content if asked else ""


def _is_quoted(subject: Subject, search: Search) -> bool:
    """Whether the answer is made of quotations instead of being generated. A small model is not
    left alone with a search that found nothing either."""
    if not subject.wants_text:
        return False
    return subject.model.quoting == "first" or not (search.results or subject.calls_itself)


async def _say(subject: Subject, opened: OpenMessage | None, said: Sequence[Cited]) -> None:
    """A message that no model has generated, and the end of the run. It is stored in one piece, so
    one that an interrupted worker left open is whole."""
    text = CitedText(opened)
    if opened is None:
        pieces = [text.add(cited) for cited in said]
        opened = await subject.recorder.open_message(subject.model.manifest.id, pieces)
    generated = GeneratedText(text.shown.text, (), subject.model.manifest.id)
    quoted = [one["file_citation"]["quote"] for one in text.shown.annotations]
    evidence = {"quoted": quoted} if quoted else {}
    await subject.recorder.complete(opened, generated, Usage(), evidence=evidence, shown=text.shown)
