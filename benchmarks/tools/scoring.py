"""Whether calls are the wanted ones, by the rule of BFCL's AST category for Python.

A call is right when its function is the wanted one, no required argument is missing, none is
unknown, each has an allowed value of the declared type, and whatever was left out may be left out
(``""`` among its values). Texts are compared without case, spaces and ``,./-_*^``, and with either
kind of quotes; an integer does for a float. Several wanted calls may come in any order, but as many
as are wanted. Milder than BFCL in one place: an integer does for a float in lists too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Allowed = Sequence[Any]
"""The values an argument may have; ``""`` says that it may be left out."""

RIGHT = "right"

_IGNORED = re.compile(r"[ ,./\-_*^]")
_TYPES: dict[str, type] = {
    "string": str,
    "integer": int,
    "float": float,
    "boolean": bool,
    "array": list,
    "tuple": list,
    "dict": dict,
    "any": str,
}


@dataclass(frozen=True, slots=True)
class Call:
    """A call that was made; ``arguments`` is JSON text."""

    name: str
    arguments: str

    def values(self) -> dict[str, Any] | None:
        """The arguments read; None when they are no JSON object."""
        try:
            found = json.loads(self.arguments)
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None


def verdict(
    calls: Sequence[Call],
    functions: Sequence[Mapping[str, Any]],
    wanted: Sequence[Mapping[str, Mapping[str, Allowed]]],
) -> str:
    """``right``, or what is wrong first: ``called`` (none was wanted), ``no call``, ``number of
    calls``, or what ``call_problem`` says. ``functions`` are described with BFCL's type names."""
    if not wanted:
        return "called" if calls else RIGHT
    if len(calls) != len(wanted):
        return "number of calls" if calls else "no call"
    left = list(calls)
    for answer in wanted:
        problems = [call_problem(call, functions, answer) for call in left]
        if None not in problems:
            # The function's own name says more than that another call has another name.
            said = [problem for problem in problems if problem is not None]
            return max(said, key=lambda problem: problem != "function")
        del left[problems.index(None)]
    return RIGHT


def call_problem(
    call: Call,
    functions: Sequence[Mapping[str, Any]],
    answer: Mapping[str, Mapping[str, Allowed]],
) -> str | None:
    """Why the call is not the wanted one, as kind and argument; None when it is."""
    ((name, allowed),) = answer.items()
    function = next((found for found in functions if found["name"] == name), None)
    if function is None or call.name != name:
        return "function"
    values = call.values()
    if values is None:
        return "no JSON object"
    parameters = function["parameters"]
    for argument in parameters.get("required", ()):
        if argument not in values:
            return f"missing: {argument}"
    for argument, value in values.items():
        if argument not in parameters["properties"] or argument not in allowed:
            return f"unexpected: {argument}"
        if not value_is_allowed(value, parameters["properties"][argument], allowed[argument]):
            return f"value: {argument}"
    for argument, choices in allowed.items():
        if argument not in values and "" not in choices:
            return f"missing: {argument}"
    return None


def value_is_allowed(value: Any, declared: Mapping[str, Any], allowed: Allowed) -> bool:
    """``declared`` is the argument's schema with BFCL's type names."""
    kind = _TYPES[declared["type"]]
    item_kind = _TYPES.get(declared.get("items", {}).get("type", "")) if kind is list else None
    if kind is float and type(value) is int:
        value = float(value)
    # Answers of another type than declared stand for a variable's name and are taken literally.
    answer_kind = next((type(choice) for choice in allowed if choice != ""), kind)
    if type(value) is not kind and type(value) is not answer_kind:
        return False
    if type(value) is not kind or answer_kind is not kind:
        return value in allowed
    if kind is dict:
        return any(_fits(value, choice) for choice in allowed)
    if kind is list and item_kind is dict:
        return any(_list_fits(value, choice) for choice in allowed)
    if kind is list:
        typed = item_kind is None or _has_items_of(value, item_kind, allowed)
        return typed and any(_plain(value) == _plain(c) for c in allowed if isinstance(c, list))
    if kind is str:
        return _plain(value) in [_plain(choice) for choice in allowed if isinstance(choice, str)]
    return value in allowed


def _has_items_of(values: Sequence[Any], kind: type, allowed: Allowed) -> bool:
    """Every item has the declared type, or that of the answers' items."""
    kinds = {kind} | {type(item) for choice in allowed if type(choice) is list for item in choice}
    if float in kinds:
        kinds.add(int)
    return all(type(value) in kinds for value in values)


def _fits(value: Any, choice: Any) -> bool:
    """A dict against one answer, which has allowed values for each key."""
    if not isinstance(value, dict) or not isinstance(choice, dict):
        return False
    for key, found in value.items():
        if key not in choice or _plain(found) not in [_plain(one) for one in choice[key]]:
            return False
    return all(key in value or "" in ones for key, ones in choice.items())


def _list_fits(values: Sequence[Any], choice: Any) -> bool:
    if not isinstance(choice, list) or len(choice) != len(values):
        return False
    return all(_fits(value, one) for value, one in zip(values, choice, strict=True))


def _plain(value: Any) -> Any:
    """A text as it is compared; lists item by item."""
    if isinstance(value, str):
        return _IGNORED.sub("", value).lower().replace("'", '"')
    return [_plain(item) for item in value] if isinstance(value, list) else value
