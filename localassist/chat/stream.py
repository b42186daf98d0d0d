"""Text of one model turn, piece by piece, into what is said and what is called.

Whatever the pieces, the joined result is the same. Text is held back while it may still become the
start of a call; names are announced when complete, arguments stream through as they are written.
Knows one shape, a JSON object after a trigger, and nothing of schemas: validity is the grammar's
affair, and text that only looks like a call stays text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TypeAlias


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
    index: int


TurnEvent: TypeAlias = TextDelta | CallStarted | ArgumentsDelta | CallEnded


@dataclass(frozen=True, slots=True)
class CallMarkup:
    """A call is ``trigger``, a JSON object with these two keys, and ``end``."""

    trigger: str
    end: str
    name_key: str = "name"
    arguments_key: str = "arguments"


class TurnParser:
    """Feed pieces in order, then finish once. ``markup`` None reads everything as text.

    White space right before a call and between calls is layout, not text. A call that the stream's
    end cuts off gets no ``CallEnded``; one cut off before its name was complete leaves no event.
    """

    def __init__(self, markup: CallMarkup | None) -> None:
        self._markup = markup
        self._held = ""
        self._layout = ""  # white space before the trigger, text again if no call follows
        self._scanner: _CallScanner | None = None
        self._after_call = False
        self._calls = 0

    def feed(self, text: str) -> list[TurnEvent]:
        """Events that are certain after this piece."""
        if self._markup is None:
            return [TextDelta(text)] if text else []
        self._held += text
        events: list[TurnEvent] = []
        while self._advance(self._markup, events):
            pass
        return events

    def finish(self) -> list[TurnEvent]:
        """The turn is over: what was held back turns out to be text."""
        held, self._held = self._held, ""
        if self._scanner is not None:
            held = "" if self._scanner.is_open else self._layout + self._scanner.seen
        elif self._after_call:
            held = held.lstrip()
        return [TextDelta(held)] if held else []

    def _advance(self, markup: CallMarkup, events: list[TurnEvent]) -> bool:
        """Take one step over the held text; False when more is needed."""
        if self._scanner is not None:
            return self._read_call(markup, self._scanner, events)
        if self._after_call:
            return self._leave_call(markup)
        position = self._held.find(markup.trigger)
        if position >= 0:
            before = self._held[:position]
            _say(before.rstrip(), events)
            self._layout = before[len(before.rstrip()) :]
            self._held = self._held[position + len(markup.trigger) :]
            self._scanner = _CallScanner(markup, self._calls)
            return True
        certain = _certain_length(self._held, markup.trigger)
        _say(self._held[:certain], events)
        self._held = self._held[certain:]
        return False

    def _read_call(
        self, markup: CallMarkup, scanner: _CallScanner, events: list[TurnEvent]
    ) -> bool:
        consumed = scanner.scan(self._held, events)
        if scanner.is_rejected:
            # The trigger was just text. Its characters are not looked at again.
            _say(self._layout + scanner.seen, events)
            self._scanner = None
        elif scanner.is_complete:
            self._scanner = None
            self._after_call = True
            self._calls += 1
        self._held = self._held[consumed:]
        return self._scanner is None and bool(self._held)

    def _leave_call(self, markup: CallMarkup) -> bool:
        """Skip the end marker and the layout around it."""
        rest = self._held.lstrip()
        if rest.startswith(markup.end):
            self._held = rest[len(markup.end) :]
            return True
        if not rest or markup.end.startswith(rest) or markup.trigger.startswith(rest):
            return False
        self._held = rest
        self._after_call = False
        return True


class _CallScanner:
    """Walks one JSON object character by character and reports its name and raw arguments."""

    def __init__(self, markup: CallMarkup, index: int) -> None:
        self._markup = markup
        self._index = index
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._key: str | None = None  # None while a key of the outer object is being read
        self._token = ""  # raw text of the current key or outer value
        self._arguments = ""  # read but not yet reported
        self.seen = markup.trigger  # everything read, until the call has a name
        self.is_open = False
        self.is_started = False
        self.is_complete = False
        self.is_rejected = False

    def scan(self, text: str, events: list[TurnEvent]) -> int:
        """Read until the object is complete; how many characters were taken."""
        for position, character in enumerate(text):
            if self._depth == 0 and not self._open(character):
                if self.is_rejected:
                    return position
                continue
            self._take(character, events)
            if self._depth == 0:
                self._complete(events)
                return position + 1
        self._report(events)
        return len(text)

    def _open(self, character: str) -> bool:
        """Before the object: skip white space, accept ``{``, reject anything else."""
        if character.isspace():
            self.seen += character
        else:
            self.is_open = character == "{"
            self.is_rejected = not self.is_open
        return self.is_open

    def _complete(self, events: list[TurnEvent]) -> None:
        self._report(events)
        if self.is_started:
            self.is_complete = True
            events.append(CallEnded(self._index))
        else:
            self.is_rejected = True

    def _take(self, character: str, events: list[TurnEvent]) -> None:
        if not self.is_started:
            self.seen += character
        if self._in_string:
            self._token += character
            self._close_string(character)
        elif character in "{[":
            self._depth += 1
            if self._depth > 1:
                self._token += character
        elif character in "}]":
            self._depth -= 1
            if self._depth == 0:
                self._end_value(events)
            else:
                self._token += character
        elif self._depth == 1 and character == ":" and self._key is None:
            self._key = _text_of(self._token)
            self._token = ""
        elif self._depth == 1 and character == ",":
            self._end_value(events)
        else:
            self._in_string = character == '"'
            self._token += character
        self._collect_arguments(character)

    def _close_string(self, character: str) -> None:
        if self._escaped:
            self._escaped = False
        elif character == "\\":
            self._escaped = True
        elif character == '"':
            self._in_string = False

    def _end_value(self, events: list[TurnEvent]) -> None:
        if self._key == self._markup.name_key and not self.is_started:
            self.is_started = True
            events.append(CallStarted(self._index, _text_of(self._token)))
        self._key = None
        self._token = ""

    def _collect_arguments(self, character: str) -> None:
        """Move what was read of the arguments' value; white space around it is not part of it."""
        if self._key != self._markup.arguments_key:
            return
        if self._in_string or self._depth > 1 or not character.isspace():
            self._arguments += self._token
        self._token = ""

    def _report(self, events: list[TurnEvent]) -> None:
        """Deliver the collected arguments once the call has a name."""
        if self.is_started and self._arguments:
            events.append(ArgumentsDelta(self._index, self._arguments))
            self._arguments = ""


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


def _text_of(token: str) -> str:
    """The string a JSON token spells, or the token itself when it is not one."""
    try:
        value = json.loads(token)
    except (ValueError, RecursionError):
        return token.strip()
    return value if isinstance(value, str) else token.strip()
