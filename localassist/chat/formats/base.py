"""How a model family writes tool calls: the interface, and the caller's wish for this turn.

A format is shown to the model (``system_text``, ``render_calls``, ``render_result``), enforced by
a grammar (``constraint``) and read back (``parser``). Formats know no tokenizer and no schema
rules: the parameters of a tool arrive ready for a grammar, ``tools.grammar`` prepares them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from localassist.chat.stream import TurnParser
from localassist.core import Constraint, ToolCall, ToolSpec
from localassist.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether this turn may or must call a tool. ``name`` belongs to mode ``named``."""

    mode: Literal["auto", "required", "none", "named"] = "auto"
    name: str | None = None

    @classmethod
    def from_wire(cls, value: str | Mapping[str, Any] | None) -> ToolChoice:
        """``"auto"``, ``"required"``, ``"none"`` or ``{"type":"function","function":{"name":…}}``.

        Absent is auto. A choice of a built-in tool is auto too: it is not among the functions.
        """
        if isinstance(value, str):
            return cls(mode=value)  # type: ignore[arg-type]  # the wire schema has checked it
        function = value.get("function") if value is not None else None
        return cls("auto") if function is None else cls("named", function["name"])

    @property
    def demands_call(self) -> bool:
        return self.mode in ("required", "named")

    def among(self, tools: Sequence[ToolSpec]) -> list[ToolSpec]:
        """The tools this choice leaves. Raises InvalidRequest when the named one is not there."""
        if self.mode == "none":
            return []
        if self.mode != "named":
            return list(tools)
        chosen = [tool for tool in tools if tool.name == self.name]
        if not chosen:
            raise InvalidRequest(
                f"Invalid 'tool_choice': no function named '{self.name}' is among the tools.",
                param="tool_choice",
                code="invalid_value",
            )
        return chosen


class ToolCallFormat(Protocol):
    """Implementations are stateless and shared by all requests; see ``FORMATS``."""

    @property
    def name(self) -> str: ...

    def system_text(self, tools: Sequence[ToolSpec]) -> str:
        """What the system message says about the tools when the template cannot show them."""
        ...

    def render_calls(self, calls: Sequence[ToolCall]) -> str:
        """The calls as the model itself would have written them."""
        ...

    def render_result(self, name: str | None, output: str) -> str:
        """A tool's output as a user turn, for templates without a tool role."""
        ...

    def constraint(
        self,
        tools: Sequence[ToolSpec],
        choice: ToolChoice,
        *,
        parallel: bool,
        answer: str | None = None,
    ) -> Constraint | None:
        """The grammar of this turn, None when anything may be said.

        ``answer`` is a Lark expression that replaces free text when the turn is not a call
        (``tools.grammar.answer_rule``). Raises InvalidRequest for a named tool that is not there.
        """
        ...

    def parser(self) -> TurnParser:
        """A fresh parser for one turn."""
        ...


def wire_tool(tool: ToolSpec) -> dict[str, Any]:
    """The tool as templates and prompts show it, without notes meant for the grammar."""
    parameters = {key: value for key, value in tool.parameters.items() if key != "x-guidance"}
    function = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return {"type": "function", "function": function}


def arguments_of(call: ToolCall) -> Any:
    """The call's arguments as a value; the text itself when it is not JSON, or
    nested too deeply to be read."""
    try:
        return json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        return call.arguments
