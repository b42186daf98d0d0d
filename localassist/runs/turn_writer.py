"""A turn's items as what a run shows: a message, a round of calls, or one after the other.

Calls of built-in tools are made here, inside the step that shows them. Text is read for citations
on its way when the run has searched.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from localassist import clock
from localassist.core import GeneratedText, ToolCall, Usage
from localassist.runs.calls import Round
from localassist.runs.changes import Shown
from localassist.runs.recorder import OpenMessage, Piece, Recorder
from localassist.runs.searching import Search, evidence_of
from localassist.schemas.messages import CitedFile, FileCitation
from localassist.services.turn_items import Arguments, CallBegun, Text, TurnEnded
from localassist.tools.file_search import Citation, CitationReader, Cited

MakeSearch = Callable[[ToolCall, int], Awaitable[Search]]
"""Makes a search that the model has called, the so-manieth of its turn."""


class BudgetSpent(Exception):
    """The run may not use more tokens; ``reason`` is the run's incomplete_details, ``usage`` that
    of a step that is still open."""

    def __init__(self, reason: str, usage: Usage | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.usage = usage


class CitedText:
    """What readers have been shown of a message: places of citations are counted in it."""

    def __init__(self, opened: OpenMessage | None = None) -> None:
        self._parts = [opened.text] if opened is not None else []
        self._length = sum(map(len, self._parts))
        self._annotations: list[Mapping[str, Any]] = []
        if opened is not None:
            self._annotations += opened.annotations

    def add(self, cited: Cited) -> Piece:
        """The next piece, with its annotations in wire form."""
        first = len(self._annotations)
        added = [_annotation(citation, self._length) for citation in cited.citations]
        self._parts.append(cited.text)
        self._length += len(cited.text)
        self._annotations += added
        return Piece(cited.text, (), tuple(added), first)

    @property
    def shown(self) -> Shown:
        return Shown("".join(self._parts), tuple(self._annotations))


def _annotation(citation: Citation, offset: int) -> dict[str, Any]:
    return FileCitation(
        text=citation.text,
        start_index=offset + citation.start,
        end_index=offset + citation.end,
        file_citation=CitedFile(file_id=citation.file_id, quote=citation.quote),
    ).dump()


@dataclass(frozen=True, slots=True)
class WriterOptions:
    """How a turn is written. ``search_name`` is the function that is a search of ours; ``reader``
    is set when the text may cite what was found. ``has_budget``: the caller has limited the
    answer's tokens. ``spent`` and ``evidence`` are of what came before in the same turn."""

    lifetime_seconds: int
    has_budget: bool
    search_name: str | None = None
    search: MakeSearch | None = None
    reader: CitationReader | None = None
    spent: Usage = Usage()
    evidence: Mapping[str, Any] | None = None


class TurnWriter:
    """Writes one turn. ``used`` is set when the run goes on after it: what the turn has used.
    ``has_begun`` once there was something to write."""

    def __init__(
        self,
        model_id: str,
        recorder: Recorder,
        opened: OpenMessage | None,
        options: WriterOptions,
    ) -> None:
        self.used: Usage | None = None
        self.has_begun = False
        self._options = options
        self._model_id = model_id
        self._recorder = recorder
        self._message = opened
        self._said: list[str] = [opened.text] if opened is not None else []
        self._tokens: list[int] = list(opened.token_ids) if opened is not None else []
        self._cited = CitedText(opened)
        self._has_text = bool(self._said and self._said[0])
        self._said_in: str | None = None
        self._step_id: str | None = None
        self._searches: set[int] = set()  # numbers of the calls that are ours

    async def write(self, item: object) -> None:
        self.has_begun = True
        if isinstance(item, Text):
            await self._text(item)
        elif isinstance(item, CallBegun):
            await self._begin_call(item)
        elif isinstance(item, Arguments):
            assert self._step_id is not None
            if item.index not in self._searches:
                self._recorder.call_arguments(self._step_id, item.index, item.text)
        elif isinstance(item, TurnEnded):
            await self._end(
                replace(
                    item,
                    usage=self._options.spent + item.usage,
                    evidence={**(self._options.evidence or {}), **item.evidence},
                )
            )

    async def _text(self, item: Text) -> None:
        self._said.append(item.text)
        self._tokens += item.token_ids
        if self._options.reader is None:
            await self._show(Piece(item.text, item.token_ids))
        else:
            await self._cite(self._options.reader.feed(item.text))

    async def _cite(self, pieces: Sequence[Cited]) -> None:
        # Without tokens: what is shown differs from what they spell.
        for cited in pieces:
            if cited.text:
                await self._show(self._cited.add(cited))

    async def _show(self, piece: Piece) -> None:
        is_first, self._has_text = not self._has_text, True
        if self._message is None:
            self._message = await self._recorder.open_message(self._model_id, [piece])
        else:
            self._recorder.text(self._message.message_id, piece, is_first=is_first)

    async def _end_text(self) -> Shown | None:
        """The text is over; what readers see of it, where that is not just what was said."""
        if self._options.reader is None:
            return None
        await self._cite(self._options.reader.finish())
        return self._cited.shown

    async def _begin_call(self, item: CallBegun) -> None:
        shown = await self._end_text() if self._said and self._said_in is None else None
        if self._message is not None:
            # What is said before a call is a message of its own; the usage goes to the call.
            said = GeneratedText("".join(self._said))
            await self._recorder.close_message(self._message, said, Usage(), shown=shown)
            self._said_in, self._message = self._message.message_id, None
        if self._step_id is None:
            self._step_id = await self._recorder.open_calls()
        if item.name == self._options.search_name:
            self._searches.add(item.index)
            self._recorder.search_called(self._step_id, item.index, item.call_id)
        else:
            self._recorder.call_started(self._step_id, item.index, item.call_id, item.name)

    async def _end(self, end: TurnEnded) -> None:
        if self._step_id is not None and end.reason == "stop":
            await self._end_calls(self._step_id, end)
            return
        if self._step_id is not None and self._message is None:
            raise BudgetSpent("max_completion_tokens", end.usage)  # in the middle of a call
        shown = await self._end_text()
        message = self._message or await self._recorder.open_message(self._model_id)
        # Without a budget of the caller's, an answer that fills the context is simply over:
        # programs wait for "completed".
        is_cut_off = end.reason == "length" and self._options.has_budget
        await self._recorder.complete(
            message,
            self._generated(end.generated),
            end.usage,
            evidence=end.evidence,
            shown=shown,
            is_cut_off=is_cut_off,
        )

    def _generated(self, generated: GeneratedText) -> GeneratedText:
        """The whole message as the model said it, with the tokens of all its parts."""
        tokens = tuple(self._tokens) if self._options.reader is None else generated.token_ids
        tokens = tokens if generated.token_ids else ()
        return replace(generated, text="".join(self._said), token_ids=tokens)

    async def _end_calls(self, step_id: str, end: TurnEnded) -> None:
        """Make the searches, then wait for the caller's part, if it has one."""
        searches: dict[str, Search] = {}
        for call in end.calls:
            if call.name == self._options.search_name:
                assert self._options.search is not None
                searches[call.id] = await self._options.search(call, len(searches))
        made = Round(
            end.calls,
            end.generated,
            end.usage,
            searches,
            said_in=self._said_in,
            evidence={**end.evidence, **evidence_of(tuple(searches.values()))},
        )
        if made.functions:
            expires_at = clock.now() + self._options.lifetime_seconds
            await self._recorder.require_action(step_id, made, expires_at=expires_at)
        else:
            await self._recorder.complete_calls(step_id, made)
            self.used = end.usage
