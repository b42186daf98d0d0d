"""Tools that are ours to call: what came of a call, and how it is told from a caller's function.

Entries of a calls item and payloads of output items name the tool under ``built_in``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from localassist.core import ToolCall
from localassist.runs.coding import CODE_INTERPRETER, ran_text
from localassist.runs.searching import FILE_SEARCH, found_text

_TEXTS = {FILE_SEARCH: found_text, CODE_INTERPRETER: ran_text}


class Outcome(Protocol):
    """What came of a call, to be shown in its step and kept for later turns of the run."""

    @property
    def tool(self) -> str:
        """The wire name of the tool."""
        ...

    def step_call(self, call_id: str) -> dict[str, Any]:
        """The call as a run step shows it."""
        ...

    def payload(self) -> dict[str, Any]:
        """What the output item of the call keeps."""
        ...


class Call(Protocol):
    """A call that the model is writing in the open step."""

    def write(self, arguments: str) -> None:
        """A fragment of its arguments, for those who watch."""
        ...

    async def make(self, call: ToolCall) -> Outcome:
        """Do what was called for, once the turn is over."""
        ...


class BuiltIn(Protocol):
    """A tool that the model may call in a turn."""

    def begin(self, step_id: str, index: int, call_id: str) -> Call:
        """Announce a call in the open step."""
        ...


def tool_of(entry: Mapping[str, Any]) -> str | None:
    """The built-in tool an entry or a payload is of; None for a caller's function."""
    return entry.get("built_in")


def output_text(payload: Mapping[str, Any]) -> str:
    """What the model is shown of a call's output."""
    tool = tool_of(payload)
    return str(payload["output"]) if tool is None else _TEXTS[tool](payload)
