"""What a turn of a run may do: which functions it can call, and whether documents are searched.

Pure. A model that writes calls itself is shown file search as one more function; for any other the
run searches by itself, before the model answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from typing import Any, Literal

from localassist.chat.formats import ToolChoice
from localassist.core import ToolSpec
from localassist.errors import InvalidRequest, LocalAssistError
from localassist.tools.base import Toolbox

_MOST_QUERIES = 5
_QUERIES = {
    "type": "object",
    "properties": {
        "queries": {
            "type": "array",
            "items": {"type": "string"},
            "minItems": 1,
            "maxItems": _MOST_QUERIES,
            "description": "What to look for, each in words that the documents may use.",
        }
    },
    "required": ["queries"],
    "additionalProperties": False,
}
_DESCRIPTION = "Search the user's documents. Returns the passages that fit best."


@dataclass(frozen=True, slots=True)
class Progress:
    """What the run has done so far: rounds of calls, and whether it called functions or searched in
    them."""

    rounds: int = 0
    has_called: bool = False
    has_searched: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """``functions`` the model may call under ``choice``; ``search_name`` is the one among them that
    searches. ``search`` says whether the run searches by itself when no function is called.
    ``shown`` are functions that stay in the prompt although they cannot be called any more."""

    functions: Sequence[ToolSpec] = ()
    choice: ToolChoice = field(default_factory=lambda: ToolChoice("none"))
    search_name: str | None = None
    search: Literal["no", "may", "must"] = "no"
    shown: Sequence[ToolSpec] = ()


def check_choice(toolbox: Toolbox, tool_choice: str | Mapping[str, Any]) -> None:
    """That what the caller chooses is among the tools. Raises InvalidRequest."""
    ToolChoice.from_wire(tool_choice).among(toolbox.functions)
    if isinstance(tool_choice, str) or tool_choice["type"] == "function":
        return
    declared = [*toolbox.unserved, *(["file_search"] if toolbox.file_search is not None else [])]
    if tool_choice["type"] not in declared:
        raise InvalidRequest(
            f"Invalid 'tool_choice': '{tool_choice['type']}' is not among the tools.",
            param="tool_choice",
            code="invalid_value",
        )


def offer(
    toolbox: Toolbox,
    tool_choice: str | Mapping[str, Any],
    done: Progress,
    *,
    calls_itself: bool,
    has_stores: bool,
    is_grounded: bool = False,
) -> Offer:
    """What the next turn may do. The caller's choice binds the first turn only, or the run could
    never end. ``is_grounded``: an answer from documents is held to a grammar, which leaves no room
    for a second search beside it. Raises LocalAssistError for a choice that nothing here can
    serve."""
    wanted = tool_choice if done.rounds == 0 or tool_choice == "none" else "auto"
    if wanted == "none":
        return Offer()
    _check_served(toolbox, wanted)
    must_search = toolbox.file_search is not None and (
        wanted == "required" or _type(wanted) == "file_search"
    )
    can_search = toolbox.file_search is not None and (has_stores or must_search)
    if calls_itself:
        may = _offer_to_caller(toolbox, wanted, can_search)
        is_over = is_grounded and done.has_searched and not toolbox.functions
        return Offer(shown=may.functions) if is_over else may
    if done.has_searched:
        return Offer()
    if must_search:
        # Searching is a call, too; the planner may still find that a function fits better.
        is_named = _type(wanted) == "file_search"
        functions = () if is_named else toolbox.functions
        return Offer(functions, ToolChoice("none" if is_named else "auto"), search="must")
    choice = ToolChoice.from_wire(wanted)
    may_search = can_search and not done.has_called and not choice.demands_call
    return Offer(toolbox.functions, choice, search="may" if may_search else "no")


def _offer_to_caller(toolbox: Toolbox, wanted: str | Mapping[str, Any], can_search: bool) -> Offer:
    if not can_search:
        return Offer(toolbox.functions, ToolChoice.from_wire(wanted))
    search = ToolSpec(_free_name(toolbox), _DESCRIPTION, _QUERIES)
    is_named = _type(wanted) == "file_search"
    choice = ToolChoice("named", search.name) if is_named else ToolChoice.from_wire(wanted)
    return Offer((*toolbox.functions, search), choice, search.name)


def _free_name(toolbox: Toolbox) -> str:
    """How the model calls a search. A function of the caller's keeps its name."""
    taken = {tool.name for tool in toolbox.functions}
    numbered = (f"search_files_{number}" for number in count(2))
    return next(n for n in chain(("file_search", "search_files"), numbered) if n not in taken)


def _type(wanted: str | Mapping[str, Any]) -> str | None:
    return None if isinstance(wanted, str) else str(wanted["type"])


def _check_served(toolbox: Toolbox, wanted: str | Mapping[str, Any]) -> None:
    has_tools = bool(toolbox.functions) or toolbox.file_search is not None
    if _type(wanted) in toolbox.unserved or (wanted == "required" and not has_tools):
        name = _type(wanted) or ", ".join(toolbox.unserved) or "a tool"
        raise LocalAssistError(
            f"The run requires {name}, which this server does not provide. Leave tool_choice "
            "at 'auto' to get an answer without it."
        )
