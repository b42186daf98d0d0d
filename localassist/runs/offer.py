"""What a turn of a run may do: which functions it can call, and which tools of ours are used.

Pure. A model that writes calls itself is shown file search and the code interpreter as two more
functions; for any other the run searches and lets code be written by itself, before the model
answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, count
from typing import Any, Literal

from localassist.chat.formats import ToolChoice
from localassist.core import ToolSpec
from localassist.errors import InvalidRequest, LocalAssistError, SandboxUnavailable
from localassist.runs.coding import CODE_INTERPRETER, Workplace
from localassist.runs.searching import FILE_SEARCH
from localassist.sandbox.verdict import Verdict
from localassist.tools.base import Toolbox
from localassist.tools.code_interpreter.spec import PYTHON, python_tool

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
_SEARCH_NAMES = ("file_search", "search_files")
_CODE_NAMES = (PYTHON, "run_python")


@dataclass(frozen=True, slots=True)
class Progress:
    """What the run has done so far: rounds of calls, whether it called functions, searched or ran
    code in them, and how many cells in a row have failed last."""

    rounds: int = 0
    has_called: bool = False
    has_searched: bool = False
    has_run_code: bool = False
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Means:
    """What a run's model can do and has: ``calls_itself`` and ``writes_cells`` say whether it
    writes calls, or code when it is led to. ``place`` is where code would be run, None where the
    run declares none. ``is_grounded``: an answer from documents is held to a grammar, which leaves
    no room for a second search beside it."""

    calls_itself: bool
    has_stores: bool = False
    is_grounded: bool = False
    writes_cells: bool = False
    place: Workplace | None = None
    code_attempts: int = 1

    @property
    def can_run_code(self) -> bool:
        return self.place is not None and self.place.verdict.ok


@dataclass(frozen=True, slots=True)
class Offer:
    """``functions`` the model may call under ``choice``; ``search_name`` and ``code_name`` are
    those among them that are ours. ``search`` and ``code`` say whether the run searches or has code
    written by itself when no function is called; ``again``: after code that failed. ``shown`` are
    functions that stay in the prompt although they cannot be called any more."""

    functions: Sequence[ToolSpec] = ()
    choice: ToolChoice = field(default_factory=lambda: ToolChoice("none"))
    search_name: str | None = None
    code_name: str | None = None
    search: Literal["no", "may", "must"] = "no"
    code: Literal["no", "may", "must", "again"] = "no"
    shown: Sequence[ToolSpec] = ()

    @property
    def leads(self) -> bool:
        """Something is looked at before the model answers."""
        return self.search != "no" or self.code != "no"


def check_choice(toolbox: Toolbox, tool_choice: str | Mapping[str, Any]) -> None:
    """That what the caller chooses is among the tools. Raises InvalidRequest."""
    ToolChoice.from_wire(tool_choice).among(toolbox.functions)
    if isinstance(tool_choice, str) or tool_choice["type"] == "function":
        return
    declared = {
        FILE_SEARCH: toolbox.file_search is not None,
        CODE_INTERPRETER: toolbox.code_interpreter,
    }
    if not declared[tool_choice["type"]]:
        raise InvalidRequest(
            f"Invalid 'tool_choice': '{tool_choice['type']}' is not among the tools.",
            param="tool_choice",
            code="invalid_value",
        )


def offer(
    toolbox: Toolbox, tool_choice: str | Mapping[str, Any], done: Progress, means: Means
) -> Offer:
    """What the next turn may do. The caller's choice binds the first turn only, or the run could
    never end. Raises SandboxUnavailable and LocalAssistError for a choice that nothing here can
    serve."""
    wanted = tool_choice if done.rounds == 0 or tool_choice == "none" else "auto"
    if wanted == "none":
        return Offer()
    _check_served(toolbox, wanted, means)
    must_search = toolbox.file_search is not None and (
        wanted == "required" or _type(wanted) == FILE_SEARCH
    )
    can_search = toolbox.file_search is not None and (means.has_stores or must_search)
    if means.calls_itself:
        may = _offer_to_caller(toolbox, wanted, can_search, means.can_run_code, means)
        is_over = means.is_grounded and done.has_searched
        has_others = bool(toolbox.functions) or means.can_run_code
        return Offer(shown=may.functions) if is_over and not has_others else may
    if done.has_run_code:
        is_bad = 0 < done.failures < means.code_attempts
        return Offer(code="again") if is_bad and means.writes_cells else Offer()
    if done.has_searched:
        return Offer()
    return _offer_to_led(toolbox, wanted, done, must_search, can_search, means)


def _offer_to_led(
    toolbox: Toolbox,
    wanted: str | Mapping[str, Any],
    done: Progress,
    must_search: bool,
    can_search: bool,
    means: Means,
) -> Offer:
    """Searching and running code are calls, too; a planner may still find that a function of the
    caller's fits better, unless one of them is named."""
    is_named = _type(wanted) in (FILE_SEARCH, CODE_INTERPRETER)
    must_run = _type(wanted) == CODE_INTERPRETER or (
        wanted == "required" and means.can_run_code and not must_search
    )
    if must_run and not means.writes_cells:
        # Not led, and never asked whether to call: but told to, it writes a call.
        return _offer_to_caller(toolbox, wanted, False, True, means)
    choice = ToolChoice.from_wire(wanted)
    if is_named or must_search or must_run:
        choice = ToolChoice("none" if is_named else "auto")
    is_free = not done.has_called and not choice.demands_call
    may_run = is_free and means.can_run_code and means.writes_cells
    may_search = is_free and can_search
    if _type(wanted) == FILE_SEARCH:
        may_run = False
    elif _type(wanted) == CODE_INTERPRETER:
        may_search = False
    return Offer(
        () if is_named else toolbox.functions,
        choice,
        search="must" if must_search else "may" if may_search else "no",
        code="must" if must_run else "may" if may_run else "no",
    )


def _offer_to_caller(
    toolbox: Toolbox,
    wanted: str | Mapping[str, Any],
    can_search: bool,
    can_run: bool,
    means: Means,
) -> Offer:
    functions = list(toolbox.functions)
    names: dict[str, str] = {}
    if can_search:
        names[FILE_SEARCH] = _free_name(toolbox, _SEARCH_NAMES)
        functions.append(ToolSpec(names[FILE_SEARCH], _DESCRIPTION, _QUERIES))
    if can_run and means.place is not None:
        names[CODE_INTERPRETER] = _free_name(toolbox, _CODE_NAMES)
        spec = python_tool(means.place.files)
        functions.append(replace(spec, name=names[CODE_INTERPRETER]))
    named = names.get(_type(wanted) or "")
    choice = ToolChoice.from_wire(wanted) if named is None else ToolChoice("named", named)
    return Offer(functions, choice, names.get(FILE_SEARCH), names.get(CODE_INTERPRETER))


def _free_name(toolbox: Toolbox, names: Sequence[str]) -> str:
    """How the model calls a tool of ours. A function of the caller's keeps its name."""
    taken = {tool.name for tool in toolbox.functions}
    numbered = (f"{names[-1]}_{number}" for number in count(2))
    return next(name for name in chain(names, numbered) if name not in taken)


def _type(wanted: str | Mapping[str, Any]) -> str | None:
    return None if isinstance(wanted, str) else str(wanted["type"])


def _check_served(toolbox: Toolbox, wanted: str | Mapping[str, Any], means: Means) -> None:
    """That what is demanded is there."""
    others = bool(toolbox.functions) or toolbox.file_search is not None
    demands_code = _type(wanted) == CODE_INTERPRETER or (wanted == "required" and not others)
    if not demands_code or means.can_run_code:
        return
    if means.place is None:
        raise LocalAssistError("The run requires a tool, and none is declared.")
    raise SandboxUnavailable(no_sandbox(means.place.verdict))


def no_sandbox(verdict: Verdict) -> str:
    """Why code cannot be run here and what can be done about it."""
    reasons = " ".join(verdict.reasons) or "No way of isolating code works on this machine."
    fix = "" if verdict.fix_hint is None else f" To change that: {verdict.fix_hint}"
    return f"The run requires code_interpreter, which cannot be used here. {reasons}{fix}"
