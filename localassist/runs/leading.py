"""What a run does by itself before a model that is led answers: calls, code, or a search.

A function of the caller's comes first, if one fits; then the model's coder decides whether code is
wanted, and writes it; else the run searches. Each is a step as if the model had called the tool.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from localassist import ids
from localassist.core import ChatMessage, GeneratedText, ToolCall, Usage
from localassist.errors import GenerationFailed
from localassist.runs import context
from localassist.runs.built_ins import Outcome
from localassist.runs.calls import Round
from localassist.runs.coding import Coding, Workplace, executions_of
from localassist.runs.config import RunSettings
from localassist.runs.offer import Offer
from localassist.runs.prompting import Prompting
from localassist.runs.searching import FILE_SEARCH, Search, Searcher, evidence_of
from localassist.runs.subject import Subject
from localassist.runs.turn_writer import writer_for
from localassist.schemas import events as wire
from localassist.services.turn import take_turn
from localassist.services.turn_items import TurnEnded, TurnRequest
from localassist.storage.items import Item
from localassist.tools.code_interpreter import Written
from localassist.tools.code_interpreter.spec import PYTHON
from localassist.tools.file_search import queries_of
from localassist.tools.grammar import Validate


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of looking before answering: the run waits for its caller, or has searched or run
    code and goes on with its next turn, or goes on to its answer. ``usage`` and ``evidence`` are of
    finding that out."""

    usage: Usage = Usage()
    evidence: Mapping[str, Any] = field(default_factory=dict)
    is_waiting: bool = False
    has_acted: bool = False

    def and_then(self, usage: Usage, evidence: Mapping[str, Any]) -> Looked:
        """With what a further step has used and found out."""
        return replace(self, usage=self.usage + usage, evidence={**self.evidence, **evidence})


class Leading:
    """Leads runs; one instance serves all of a process."""

    def __init__(
        self, validate: Validate, searcher: Searcher, coding: Coding, settings: RunSettings
    ) -> None:
        self._validate = validate
        self._searcher = searcher
        self._coding = coding
        self._settings = settings
        self._prompting = Prompting(settings)

    async def look(self, subject: Subject, found: Sequence[Item], may: Offer) -> Looked:
        """Call a function, or else run code, or else search."""
        entries = context.conversation(found, subject.run.id)
        request, _ = await self._prompting.request(subject, entries, may)
        looked = Looked()
        if may.functions and subject.model.guided is not None:
            looked = await self._plan(subject, request)
            if looked.is_waiting:
                return looked
        if may.code != "no":
            looked = await self._code(subject, found, may, looked)
            if looked.has_acted:
                return looked
        if may.search == "no":
            return looked
        queries = queries_of(request.messages)
        if not queries and may.search == "may":
            return looked
        wanted = queries or [context.newest_question(found)]
        await self._search_now(subject, wanted, found, looked)
        return replace(looked, has_acted=True)

    async def _plan(self, subject: Subject, request: TurnRequest) -> Looked:
        """Let a function be called if one fits."""
        writer = writer_for(subject, None, self._settings)
        looked = Looked()
        request = replace(request, answers=False)
        async with aclosing(take_turn(subject.model, request, self._validate)) as turn:
            async for item in turn:
                if isinstance(item, TurnEnded):
                    looked = Looked(item.usage, item.evidence, is_waiting=bool(item.calls))
                if looked.is_waiting or not isinstance(item, TurnEnded):
                    await writer.write(item)
        return looked

    # -- code -----------------------------------------------------------------------------------

    async def _code(
        self, subject: Subject, found: Sequence[Item], may: Offer, looked: Looked
    ) -> Looked:
        """Have a cell written and run it, if code is wanted."""
        coder, place = subject.model.coder, subject.place
        assert coder is not None and place is not None, "or code is not offered"
        messages = told_to_coders(found)
        if may.code != "again":
            decision = await coder.decide(messages, place.files, may.code == "must")
            looked = looked.and_then(decision.usage, {"code_wanted": decision.evidence})
            if not decision.is_wanted:
                return looked
        self._coding.prepare(place)
        executions = executions_of(found, subject.run.id)
        left = _tokens_left(subject, looked)
        async with aclosing(coder.write(messages, place.files, executions, left)) as pieces:
            return await self._run_cell(subject, place, pieces, looked)

    async def _run_cell(
        self,
        subject: Subject,
        place: Workplace,
        pieces: AsyncGenerator[str | Written, None],
        looked: Looked,
    ) -> Looked:
        """The step begins with the first piece of code; there is none when the coder has nothing
        left to try."""
        recorder, call_id = subject.recorder, ids.new_id("call")
        step_id: str | None = None

        def show(part: wire.Payload) -> None:
            assert step_id is not None
            recorder.call(step_id, part)

        async for piece in pieces:
            if isinstance(piece, str):
                if step_id is None:
                    step_id = await recorder.open_calls(wire.first_code(0, call_id))
                show(wire.more_code(0, piece))
                continue
            looked = looked.and_then(piece.usage, {"code_from": piece.evidence})
            if step_id is None:
                return looked
            recorder.open_usage = looked.usage
            ran = await self._coding.run(place, piece.code, 0, show)
            arguments = json.dumps({"code": piece.code}, ensure_ascii=False)
            made = _round(subject, ToolCall(call_id, PYTHON, arguments), ran, looked)
            await recorder.complete_calls(step_id, made)
            return replace(looked, has_acted=True)
        raise GenerationFailed("The model has not come to an end of its code.")

    # -- searching ------------------------------------------------------------------------------

    async def _search_now(
        self, subject: Subject, queries: Sequence[str], found: Sequence[Item], looked: Looked
    ) -> None:
        recorder, call_id = subject.recorder, ids.new_id("call")
        step_id = await recorder.open_calls(wire.file_search(0, call_id))
        search = await search_for(self._searcher, subject, queries, len(found))
        arguments = json.dumps({"queries": list(queries)}, ensure_ascii=False)
        looked = looked.and_then(Usage(), evidence_of((search,)))
        made = _round(subject, ToolCall(call_id, FILE_SEARCH, arguments), search, looked)
        await recorder.complete_calls(step_id, made)


def told_to_coders(found: Sequence[Item]) -> list[ChatMessage]:
    """The conversation as a coder reads it: without what tools of ours have done in this run, which
    it is told in full. It need not fit a prompt: what is of use is chosen from it."""
    return [entry.message for entry in context.conversation(found)]


def _tokens_left(subject: Subject, looked: Looked) -> int | None:
    """What the caller still allows to be written, None where there is no limit."""
    limit = subject.run.max_completion_tokens
    if limit is None:
        return None
    return limit - subject.job.used.completion_tokens - looked.usage.completion_tokens


def _round(subject: Subject, call: ToolCall, outcome: Outcome, looked: Looked) -> Round:
    """A call that the model has not written, as if it had."""
    markup = subject.model.tool_format.render_calls((call,))
    said = GeneratedText(markup, (), subject.model.manifest.id)
    return Round((call,), said, looked.usage, {call.id: outcome}, evidence=looked.evidence)


async def search_for(
    searcher: Searcher,
    subject: Subject,
    queries: Sequence[str],
    ordinal: int,
    prompt_tokens: int = 0,
) -> Search:
    """What a run's stores hold about the queries. ``prompt_tokens`` are those of the turn in which
    the search is made."""
    options = subject.toolbox.file_search
    assert options is not None, "only declared tools are called"
    room = subject.model.engine.context_length
    limit = subject.run.max_prompt_tokens
    if limit is not None and subject.model.quoting != "first":
        # The next prompt begins with this one, and both are paid for.
        used = subject.job.used.prompt_tokens + 2 * prompt_tokens
        room = max(0, min(room, limit - used))
    return await searcher.search(
        subject.job.project,
        subject.stores,
        queries,
        options,
        ordinal=ordinal,
        context_tokens=room,
    )
