"""One turn of a run: what the model may do, what it is shown, and how its answer is made.

A model that writes calls itself is offered our tools among its functions; any other is led (see
``leading``). An answer from documents is quoted from them, or written by the model and read for
citations, as the model's ``quoting`` says. What came of a led model's code is said for it, where
there are words for that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

from localassist.core import GeneratedText, ToolCall, Usage
from localassist.errors import GrammarRejected, LocalAssistError
from localassist.runs import context
from localassist.runs.annotating import Annotated, AnnotatedText, Annotator
from localassist.runs.built_ins import BuiltIn, tool_of
from localassist.runs.calling import Cells, Searches
from localassist.runs.coding import CODE_INTERPRETER, Coding, executions_of, unseen_images
from localassist.runs.config import RunSettings
from localassist.runs.leading import Leading, Looked, search_for, told_to_coders
from localassist.runs.offer import Means, Offer, Progress, offer
from localassist.runs.prompting import Prompting, tokens_of
from localassist.runs.recorder import OpenMessage
from localassist.runs.searching import FILE_SEARCH, Search, Searcher, found_by, queries_in
from localassist.runs.subject import Subject, dumped
from localassist.runs.turn_writer import TurnWriter, writer_for
from localassist.services.models import ChatModel
from localassist.services.turn import take_turn
from localassist.services.turn_items import TurnRequest
from localassist.storage import items
from localassist.storage.database import Database
from localassist.storage.items import Item
from localassist.tools.code_interpreter.links import LinkReader
from localassist.tools.file_search import (
    CitationReader,
    Cited,
    Result,
    grounded_answer,
    nothing_found,
    quote_first,
)
from localassist.tools.grammar import Validate

_log = logging.getLogger(__name__)


class Turns:
    """Takes turns of runs; one instance serves all of a process."""

    def __init__(
        self,
        database: Database,
        validate: Validate,
        searcher: Searcher,
        coding: Coding,
        settings: RunSettings,
    ) -> None:
        self._database = database
        self._validate = validate
        self._searcher = searcher
        self._coding = coding
        self._settings = settings
        self._prompting = Prompting(settings)
        self._leading = Leading(validate, searcher, coding, settings)

    async def take(self, subject: Subject, opened: OpenMessage | None) -> Usage | None:
        """One turn, from the message that an interrupted worker left open, if it did. What the turn
        has used when the run goes on, None when it rests. Raises BudgetSpent."""
        found = await self._database.read(
            lambda session: items.of_thread(session, subject.run.thread_id)
        )
        done = _progress(found, subject.run.id)
        may = self._offer(subject, done)
        looked = Looked()
        if may.leads and opened is None:
            looked = await self._leading.look(subject, found, may)
            if looked.is_waiting:
                return None
            if looked.has_acted:
                return looked.usage
            may = Offer()
        said = await self._composed(subject, found, done)
        if said:
            await _say(subject, opened, found, said, looked)
            return None
        return await self._generate(subject, found, may, opened, looked)

    def _offer(self, subject: Subject, done: Progress) -> Offer:
        if done.rounds >= self._settings.max_tool_rounds:
            raise LocalAssistError(
                f"The model asked for tools {done.rounds} times without answering; the run was "
                "stopped."
            )
        means = Means(
            calls_itself=subject.calls_itself,
            has_stores=bool(subject.stores.ids),
            is_grounded=subject.wants_text and subject.model.quoting == "grounded",
            writes_cells=subject.model.coder is not None,
            place=subject.place,
            code_attempts=self._settings.code_attempts,
        )
        return offer(subject.toolbox, dumped(subject.run.tool_choice), done, means)

    # -- answers that are not generated ---------------------------------------------------------

    async def _composed(
        self, subject: Subject, found: Sequence[Item], done: Progress
    ) -> Sequence[Annotated]:
        """An answer for a model that is better not left to write it; empty where it is."""
        if not subject.wants_text or done.has_called:
            return ()
        coder = subject.model.coder
        if done.has_run_code and coder is not None:
            said = coder.answer(told_to_coders(found), executions_of(found, subject.run.id))
            links = _links(subject, found)
            if said is None or links is None:
                return [Cited(text) for text in said or ()]
            return [*links.feed("".join(said)), *links.finish()]
        search = found_by(found, subject.run.id)
        if search is None or not _is_quoted(subject, search):
            return ()
        # A long time for an event loop, when there are many passages.
        return await asyncio.to_thread(self._quotation, context.newest_question(found), search)

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
        looked: Looked,
    ) -> Usage | None:
        model, run = subject.model, subject.run
        executions = executions_of(found, run.id)
        if may.code_name is not None and subject.place is not None and not executions:
            self._coding.prepare(subject.place)
        # A model that is not to use passages is confused by them.
        is_shown = subject.calls_itself or model.quoting != "first" or not subject.wants_text
        searched = found_by(found, run.id) if is_shown else None
        results = () if searched is None else searched.results
        hidden = () if is_shown else (FILE_SEARCH,)
        entries = context.conversation(found, run.id, hidden)
        request, prompt_tokens = await self._prompting.request(subject, entries, may)
        if results and subject.wants_text and model.quoting == "grounded" and not request.tools:
            # Its size grows with the passages: not on the event loop.
            grounding = await asyncio.to_thread(grounded_answer, results)
            request = replace(request, grounding=grounding)
        if opened is not None:
            request = replace(request, continued=tokens_of(opened, model))
        writer = writer_for(
            subject,
            opened,
            self._settings,
            tools=self._tools(subject, found, may, prompt_tokens),
            annotator=_annotator(subject, found, results),
            images=unseen_images(found, run.id),
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

    def _tools(
        self, subject: Subject, found: Sequence[Item], may: Offer, prompt_tokens: int
    ) -> Mapping[str, BuiltIn]:
        """The tools of ours that the model may call in this turn, by its names for them."""
        recorder, tools = subject.recorder, dict[str, BuiltIn]()

        async def search(call: ToolCall, number: int) -> Search:
            ordinal = len(found) + number
            queries = queries_in(call)
            return await search_for(self._searcher, subject, queries, ordinal, prompt_tokens)

        if may.search_name is not None:
            tools[may.search_name] = Searches(recorder, search)
        if may.code_name is not None and subject.place is not None:
            tools[may.code_name] = Cells(recorder, self._coding, subject.place)
        return tools


def _progress(found: Sequence[Item], run_id: str) -> Progress:
    rounds = [item for item in found if item.kind == "calls" and item.run_id == run_id]
    made = {tool_of(call) for item in rounds for call in item.payload["calls"]}
    failures = 0
    for execution in executions_of(found, run_id):
        failures = failures + 1 if execution.failed else 0
    return Progress(
        len(rounds),
        has_called=None in made,
        has_searched=FILE_SEARCH in made,
        has_run_code=CODE_INTERPRETER in made,
        failures=failures,
    )


def _is_quoted(subject: Subject, search: Search) -> bool:
    """Whether the answer is made of quotations instead of being generated. A small model is not
    left alone with a search that found nothing either."""
    return subject.model.quoting == "first" or not (search.results or subject.calls_itself)


def _annotator(subject: Subject, found: Sequence[Item], results: Sequence[Result]) -> Annotator:
    """What an answer is read for; nothing when it has a form that the caller gave."""
    if not subject.wants_text:
        return Annotator()
    return Annotator(CitationReader(results) if results else None, _links(subject, found))


def _links(subject: Subject, found: Sequence[Item]) -> LinkReader | None:
    """What finds links to files in an answer, where there are files that code could see."""
    files = () if subject.place is None else subject.place.files
    known = {name: file.file_id for file in files for name in (file.name, file.file_id)}
    for execution in executions_of(found, subject.run.id):
        known |= execution.files
    return LinkReader(known) if known else None


async def _say(
    subject: Subject,
    opened: OpenMessage | None,
    found: Sequence[Item],
    said: Sequence[Annotated],
    looked: Looked,
) -> None:
    """A message that no model has generated, and the end of the run. It is stored in one piece, so
    one that an interrupted worker left open is whole."""
    text = AnnotatedText(opened, unseen_images(found, subject.run.id))
    if opened is None:
        pieces = [text.add(piece) for piece in said]
        model_id = subject.model.manifest.id
        opened = await subject.recorder.open_message(model_id, pieces, text.images)
    shown = text.shown
    generated = GeneratedText(shown.text, (), subject.model.manifest.id)
    cited = [one for one in shown.annotations if one["type"] == "file_citation"]
    quoted = {"quoted": [one["file_citation"]["quote"] for one in cited]} if cited else {}
    evidence = {**looked.evidence, **quoted}
    await subject.recorder.complete(opened, generated, looked.usage, shown, evidence=evidence)
