"""A turn's items as what a run shows: a message, a round of calls, or one after the other.

Calls of built-in tools are made here, inside the step that shows them. Text is read on its way for
citations and for links to files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from localassist import clock
from localassist.core import GeneratedText, Usage
from localassist.runs import built_ins
from localassist.runs.annotating import Annotated, AnnotatedText, Annotator
from localassist.runs.calls import Round
from localassist.runs.changes import Shown
from localassist.runs.config import RunSettings
from localassist.runs.recorder import OpenMessage, Recorder
from localassist.runs.searching import Search, evidence_of
from localassist.runs.subject import Subject
from localassist.schemas import events as wire
from localassist.services.turn_items import Arguments, CallBegun, Text, TurnEnded
from localassist.tools.file_search import Cited


class BudgetSpent(Exception):
    """The run may not use more tokens; ``reason`` is the run's incomplete_details, ``usage`` that
    of a step that is still open."""

    def __init__(self, reason: str, usage: Usage | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.usage = usage


@dataclass(frozen=True, slots=True)
class WriterOptions:
    """How a turn is written. ``tools`` are those functions that are ours, by the names the model
    calls them. ``images`` are shown before the text. ``has_budget``: the caller has limited the
    answer's tokens. ``spent`` and ``evidence`` are of what came before in the same turn."""

    lifetime_seconds: int
    has_budget: bool
    tools: Mapping[str, built_ins.BuiltIn] = field(default_factory=dict)
    annotator: Annotator = Annotator()
    images: Sequence[str] = ()
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
        self._unsent: tuple[int, ...] = ()  # tokens that have come without a text
        self._shown = AnnotatedText(opened, options.images)
        self._said_in: str | None = None
        self._step_id: str | None = None
        self._calls: dict[int, built_ins.Call] = {}  # those of built-in tools, by number

    async def write(self, item: object) -> None:
        self.has_begun = True
        if isinstance(item, Text):
            await self._text(item)
        elif isinstance(item, CallBegun):
            await self._begin_call(item)
        elif isinstance(item, Arguments):
            assert self._step_id is not None
            if item.index in self._calls:
                self._calls[item.index].write(item.text)
            else:
                self._recorder.call(self._step_id, wire.more_arguments(item.index, item.text))
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
        if self._options.annotator.has_readers:
            # Without tokens: what is shown is cut otherwise than what they spell.
            await self._show_all(self._options.annotator.feed(item.text))
            return
        tokens = (*self._unsent, *item.token_ids)
        self._unsent = () if item.text else tokens
        if item.text:
            await self._show(Cited(item.text), tokens)

    async def _show_all(self, pieces: Sequence[Annotated]) -> None:
        for piece in pieces:
            if piece.text:
                await self._show(piece)

    async def _show(self, said: Annotated, token_ids: tuple[int, ...] = ()) -> None:
        is_first = self._shown.is_empty
        piece = self._shown.add(said, token_ids)
        if self._message is None:
            self._message = await self._recorder.open_message(
                self._model_id, [piece], self._shown.images
            )
        else:
            self._recorder.text(self._message, piece, is_first=is_first)

    async def _end_text(self) -> Shown:
        """The text is over; what readers see of the message."""
        await self._show_all(self._options.annotator.finish())
        return self._shown.shown

    async def _begin_call(self, item: CallBegun) -> None:
        if self._said and self._said_in is None:
            await self._close_message()
        if self._step_id is None:
            self._step_id = await self._recorder.open_calls()
        tool = self._options.tools.get(item.name)
        if tool is None:
            part = wire.first_function(item.index, item.call_id, item.name)
            self._recorder.call(self._step_id, part)
        else:
            self._calls[item.index] = tool.begin(self._step_id, item.index, item.call_id)

    async def _close_message(self) -> None:
        """What is said before a call is a message of its own; the usage goes to the call."""
        shown = await self._end_text()
        if self._message is not None:
            said = GeneratedText("".join(self._said))
            await self._recorder.close_message(self._message, said, Usage(), shown)
            self._said_in, self._message = self._message.message_id, None

    async def _end(self, end: TurnEnded) -> None:
        if self._step_id is not None and end.reason == "stop":
            await self._end_calls(self._step_id, end)
            return
        if self._step_id is not None and self._message is None:
            raise BudgetSpent("max_completion_tokens", end.usage)  # in the middle of a call
        shown = await self._end_text()
        message = self._message or await self._recorder.open_message(
            self._model_id, images=shown.images
        )
        # Without a budget of the caller's, an answer that fills the context is simply over:
        # programs wait for "completed".
        is_cut_off = end.reason == "length" and self._options.has_budget
        await self._recorder.complete(
            message,
            self._generated(end.generated),
            end.usage,
            shown,
            evidence=end.evidence,
            is_cut_off=is_cut_off,
        )

    def _generated(self, generated: GeneratedText) -> GeneratedText:
        """The whole message as the model said it, with the tokens of all its parts."""
        is_read = self._options.annotator.has_readers
        tokens = generated.token_ids if is_read else tuple(self._tokens)
        tokens = tokens if generated.token_ids else ()
        return replace(generated, text="".join(self._said), token_ids=tokens)

    async def _end_calls(self, step_id: str, end: TurnEnded) -> None:
        """Make the calls that are ours, in their order, then wait for the caller's part, if it has
        one."""
        self._recorder.open_usage = end.usage
        outcomes: dict[str, built_ins.Outcome] = {}
        for number, call in enumerate(end.calls):
            if number in self._calls:
                outcomes[call.id] = await self._calls[number].make(call)
        searches = [one for one in outcomes.values() if isinstance(one, Search)]
        made = Round(
            end.calls,
            end.generated,
            end.usage,
            outcomes,
            said_in=self._said_in,
            evidence={**end.evidence, **evidence_of(searches)},
        )
        if made.functions:
            expires_at = clock.now() + self._options.lifetime_seconds
            await self._recorder.require_action(step_id, made, expires_at=expires_at)
        else:
            await self._recorder.complete_calls(step_id, made)
            self.used = end.usage


def writer_for(
    subject: Subject, opened: OpenMessage | None, settings: RunSettings, **options: Any
) -> TurnWriter:
    """A writer for the next turn of a run; ``options`` are further ones of ``WriterOptions``."""
    has_budget = subject.run.max_completion_tokens is not None
    made = WriterOptions(settings.lifetime_seconds, has_budget, **options)
    return TurnWriter(subject.model.manifest.id, subject.recorder, opened, made)
