"""Text of one model turn, piece by piece, into what is said and what is called.

Whatever the pieces, the joined result is the same. Text is held back while it may still become the
start of a call; names are announced when complete, arguments stream through as they are written.
Knows markups and nothing of schemas: validity is the grammar's affair, and text that only looks
like a call stays text.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, TypeAlias

from localassist.chat.markup import ID, NAME, CallMarkup, Match, match


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class CallStarted:
    index: int
    name: str


@dataclass(frozen=True, slots=True)
class ArgumentsDelta:
    index: int
    text: str


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The arguments are complete."""

    index: int


TurnEvent: TypeAlias = TextDelta | CallStarted | ArgumentsDelta | CallEnded


class TurnParser:
    """Feed pieces in order, then finish once. ``markup`` None reads everything as text.

    ``names`` are the functions that can be called; None: any. What calls another one stays text.
    White space right before a call and after calls is layout, not text. A call that the stream's
    end cuts off gets no ``CallEnded``; one cut off before its name was complete leaves no event.
    """

    def __init__(self, markup: CallMarkup | None, names: Collection[str] | None = None) -> None:
        self.written_ids: dict[int, str] = {}
        """The ids that the model itself wrote, by the calls' indexes."""
        self.text_mark = ""
        """The mark that stood before the text, once it was read."""
        self._markup = markup
        self._names = names
        self._held = ""
        self._place: Literal["start", "text", "arguments", "behind"] = "start"
        self._skips_space = False
        self._arguments = _ObjectScanner()
        self._calls = 0

    @property
    def pending(self) -> int:
        """How many characters are held back, because what they are is not certain yet."""
        return len(self._held)

    def feed(self, text: str) -> list[TurnEvent]:
        """Events that are certain after this piece."""
        if self._markup is None:
            return [TextDelta(text)] if text else []
        self._held += text
        events: list[TurnEvent] = []
        while self._advance(self._markup, events):
            pass
        return events

    def finish(self, *, is_cut: bool = False) -> list[TurnEvent]:
        """The turn is over: what was held back is text, unless it is a call that was cut off.

        ``is_cut``: a limit ended the turn, so the beginning of a call's opening was to become one.
        """
        held, self._held = self._held, ""
        markup = self._markup
        if markup is None or not held or self._place in ("arguments", "behind"):
            return []
        if self._place == "start" and markup.text_begin.startswith(held):
            return []
        if self._can_call and self._is_cut_call(markup, held.lstrip(), is_cut):
            return []
        return [TextDelta(held)]

    @property
    def _can_call(self) -> bool:
        return self._names is None or bool(self._names)

    def _is_cut_call(self, markup: CallMarkup, held: str, is_cut: bool) -> bool:
        """Whether a turn that ended with this has begun to call. At the start of a turn without a
        marker, all of ``begin`` has to be there: its first characters may well be an answer."""
        if markup.trigger and held.startswith(markup.trigger):
            return True
        if self._place == "start":
            if markup.lead and held.startswith(markup.lead):
                return True
            known = match(markup.begin, held)
            if known is not None and known.size is not None:
                return True
        opening = markup.trigger or markup.begin
        return is_cut and bool(held) and opening.startswith(held)

    def _advance(self, markup: CallMarkup, events: list[TurnEvent]) -> bool:
        """Take one step over the held text; False when more is needed."""
        if self._place == "start":
            return self._read_start(markup, events)
        if self._place == "arguments":
            return self._read_arguments(events)
        if self._place == "behind":
            return self._leave_call(markup, events)
        return self._read_text(markup, events)

    def _read_start(self, markup: CallMarkup, events: list[TurnEvent]) -> bool:
        """What the turn begins with: a call, or the mark before a text."""
        if markup.text_begin:
            header = match(markup.text_begin, self._held)
            if header is not None and header.size is not None:
                self._held = self._held[header.size :]
                self._place = "text"
                self.text_mark = markup.text_begin
                return True
        else:
            header = None
        calls = [self._match_call(markup, markup.begin)]
        if markup.lead:
            calls.append(self._match_call(markup, markup.lead + markup.begin))
        found = next((call for call in calls if call is not None and call.size is not None), None)
        if found is not None:
            self._start_call(markup, found, events)
            return True
        if header is not None or any(call is not None for call in calls):
            return False
        self._place = "text"
        return True

    def _read_text(self, markup: CallMarkup, events: list[TurnEvent]) -> bool:
        if self._skips_space:
            self._held = self._held.lstrip()
            self._skips_space = not self._held
        if markup.after_text is None or not self._can_call:
            _say(self._held, events)
            self._held = ""
            return False
        position = self._held.find(markup.trigger)
        if position < 0:
            certain = _certain_length(self._held, markup.trigger)
            _say(self._held[:certain], events)
            self._held = self._held[certain:]
            return False
        before = len(self._held[:position].rstrip())
        _say(self._held[:before], events)
        layout = self._held[before:position]
        self._held = self._held[position:]
        call = self._match_call(markup, markup.after_text)
        if call is None:
            # The trigger was just text.
            _say(layout + markup.trigger, events)
            self._held = self._held[len(markup.trigger) :]
            return True
        if call.size is None:
            self._held = layout + self._held
            return False
        self._start_call(markup, call, events)
        return True

    def _match_call(self, markup: CallMarkup, begin: str) -> Match | None:
        """A call up to the brace that opens its arguments."""
        if not self._can_call:
            return None
        found = match(f"{begin}{NAME}{markup.middle}{{", self._held)
        if found is None or self._names is None or NAME not in found.slots:
            return found
        return found if found.slots[NAME] in self._names else None

    def _start_call(self, markup: CallMarkup, found: Match, events: list[TurnEvent]) -> None:
        assert found.size is not None, "only complete matches start a call"
        if ID in markup.begin + markup.middle:
            self.written_ids[self._calls] = found.slots[ID]
        events.append(CallStarted(self._calls, found.slots[NAME]))
        self._held = self._held[found.size - 1 :]
        self._arguments = _ObjectScanner()
        self._place = "arguments"

    def _read_arguments(self, events: list[TurnEvent]) -> bool:
        size = self._arguments.scan(self._held)
        if size:
            events.append(ArgumentsDelta(self._calls, self._held[:size]))
            self._held = self._held[size:]
        if not self._arguments.is_complete:
            return False
        events.append(CallEnded(self._calls))
        self._place = "behind"
        return True

    def _leave_call(self, markup: CallMarkup, events: list[TurnEvent]) -> bool:
        """The next call, or the end mark and what follows it."""
        following = None
        if markup.joint is not None:
            following = self._match_call(markup, markup.joint)
        if following is not None and following.size is None:
            return False
        end = match(markup.end, self._held)
        if following is None and end is not None and end.size is None:
            return False
        written = following if following is not None else end
        if written is not None and ID in written.slots and ID not in markup.begin + markup.middle:
            self.written_ids[self._calls] = written.slots[ID]
        self._calls += 1
        if following is not None:
            self._start_call(markup, following, events)
            return True
        if end is not None:
            self._held = self._held[end.size :]
        self._place = "text"
        self._skips_space = True
        return True


class _ObjectScanner:
    """Finds the end of a JSON object, character by character."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self.is_complete = False

    def scan(self, text: str) -> int:
        """How many characters belong to the object."""
        for position, character in enumerate(text):
            if self._in_string:
                if self._escaped:
                    self._escaped = False
                elif character == "\\":
                    self._escaped = True
                elif character == '"':
                    self._in_string = False
            elif character == '"':
                self._in_string = True
            elif character in "{[":
                self._depth += 1
            elif character in "}]":
                self._depth -= 1
                if self._depth == 0:
                    self.is_complete = True
                    return position + 1
        return len(text)


def _say(text: str, events: list[TurnEvent]) -> None:
    if text:
        events.append(TextDelta(text))


def _certain_length(text: str, trigger: str) -> int:
    """How much of ``text`` cannot be part of white space and a trigger that follow each other."""
    kept = len(text)
    for size in range(min(len(trigger) - 1, len(text)), 0, -1):
        if trigger.startswith(text[-size:]):
            kept = len(text) - size
            break
    return len(text[:kept].rstrip())
