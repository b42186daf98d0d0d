"""Calls of built-in tools that a model writes itself: shown while it writes them, then made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from localassist.core import ToolCall
from localassist.runs.coding import Coding, Ran, Workplace, code_in
from localassist.runs.recorder import Recorder
from localassist.runs.searching import Search
from localassist.schemas import events as wire
from localassist.tools.code_interpreter.arguments import CodeReader

MakeSearch = Callable[[ToolCall, int], Awaitable[Search]]
"""Makes a search that the model has called, the so-manieth of its turn."""


@dataclass(frozen=True, slots=True)
class SearchCall:
    """A file search. Nothing is told of it until the step ends."""

    search: MakeSearch
    number: int

    def write(self, arguments: str) -> None:
        pass

    async def make(self, call: ToolCall) -> Search:
        return await self.search(call, self.number)


@dataclass(frozen=True, slots=True)
class CodeCall:
    """Code, shown as it is written, and what it prints as it is printed."""

    recorder: Recorder
    coding: Coding
    place: Workplace
    step_id: str
    index: int
    reader: CodeReader = field(default_factory=CodeReader)

    def write(self, arguments: str) -> None:
        if code := self.reader.feed(arguments):
            self._show(wire.more_code(self.index, code))

    async def make(self, call: ToolCall) -> Ran:
        return await self.coding.run(self.place, code_in(call), self.index, self._show)

    def _show(self, part: wire.Payload) -> None:
        self.recorder.call(self.step_id, part)


class Searches:
    """Begins the file searches of one turn."""

    def __init__(self, recorder: Recorder, search: MakeSearch) -> None:
        self._recorder = recorder
        self._search = search
        self._begun = 0

    def begin(self, step_id: str, index: int, call_id: str) -> SearchCall:
        self._recorder.call(step_id, wire.file_search(index, call_id))
        self._begun += 1
        return SearchCall(self._search, self._begun - 1)


@dataclass(frozen=True, slots=True)
class Cells:
    """Begins the calls of code of one turn."""

    recorder: Recorder
    coding: Coding
    place: Workplace

    def begin(self, step_id: str, index: int, call_id: str) -> CodeCall:
        self.recorder.call(step_id, wire.first_code(index, call_id))
        return CodeCall(self.recorder, self.coding, self.place, step_id, index)
