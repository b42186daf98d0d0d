"""The sentences and codes of request errors, one function per kind of mistake.

Clients match on these texts, so each is spelled once, here. Knows no pydantic: ``errors`` decides
which one applies to a rejected body, ``base`` uses the same ones for query strings and ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from localassist.errors import InvalidRequest

Step = str | int

# What the caller wrote is repeated to them, but not by the megabyte.
_ECHO_LIMIT = 256


def join_path(steps: Iterable[Step]) -> str:
    """``("tools", 0, "type")`` → ``tools[0].type``."""
    path = ""
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        else:
            path += f".{step}" if path else step
    return shorten(path)


def shorten(text: str, limit: int = _ECHO_LIMIT) -> str:
    return text if len(text) <= limit else text[:limit] + "…"


def kind_of(value: Any) -> str:
    """A JSON value's type with its article, as ``but got … instead`` names it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    for python_type, phrase in _KINDS:
        if isinstance(value, python_type):
            return phrase
    return "an object"


_KINDS: tuple[tuple[type, str], ...] = (
    (str, "a string"),
    (int, "an integer"),
    (float, "a decimal number"),
    (list, "an array"),
)


def one_of(phrases: Sequence[str]) -> str:
    """``a string`` alone, ``one of a string or an array`` of two, a comma list of more."""
    if len(phrases) == 1:
        return phrases[0]
    comma = "," if len(phrases) > 2 else ""
    return f"one of {', '.join(phrases[:-1])}{comma} or {phrases[-1]}"


def _listed(values: Sequence[str]) -> str:
    quoted = [f"'{value}'" for value in values]
    if len(quoted) < 3:
        return " and ".join(quoted)
    return f"{', '.join(quoted[:-1])}, and {quoted[-1]}"


def missing(param: str) -> InvalidRequest:
    return InvalidRequest(
        f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter"
    )


def unknown(param: str) -> InvalidRequest:
    return InvalidRequest(f"Unknown parameter: '{param}'.", param=param, code="unknown_parameter")


def wrong_type(param: str, expected: str, value: Any) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid type for '{param}': expected {expected}, but got {kind_of(value)} instead.",
        param=param,
        code="invalid_type",
    )


def not_supported(param: str, value: str, supported: Sequence[str]) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid value: '{shorten(value)}'. Supported values are: {_listed(supported)}.",
        param=param,
        code="invalid_value",
    )


def wrong_prefix(param: str, value: str, prefix: str) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid '{param}': '{shorten(value)}'. Expected an ID that begins with '{prefix}'.",
        param=param,
        code="invalid_value",
    )


def wrong_pattern(param: str, pattern: str) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid '{param}': string does not match pattern. "
        f"Expected a string that matches the pattern '{pattern}'.",
        param=param,
        code="invalid_value",
    )


def string_too_long(param: str, limit: int, length: int) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid '{param}': string too long. Expected a string with maximum length {limit}, "
        f"but got a string with length {length} instead.",
        param=param,
        code="string_above_max_length",
    )


def empty_string(param: str) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid '{param}': empty string. Expected a string with minimum length 1, "
        "but got an empty string instead.",
        param=param,
        code="empty_string",
    )


def array_too_long(param: str, limit: int, length: int) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid '{param}': array too long. Expected an array with maximum length {limit}, "
        f"but got an array with length {length} instead.",
        param=param,
        code="array_above_max_length",
    )


def empty_array(param: str) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid '{param}': empty array. Expected an array with minimum length 1, "
        "but got an empty array instead.",
        param=param,
        code="empty_array",
    )


def out_of_range(param: str, bound: int | float, value: Any, *, above: bool) -> InvalidRequest:
    """The type of ``bound`` is the type of the field: a decimal field accepts integers too."""
    kind = "decimal" if isinstance(bound, float) else "integer"
    side, sign, code = ("above maximum", "<=", "above_max") if above else _BELOW
    return InvalidRequest(
        f"Invalid '{param}': {kind} {side} value. "
        f"Expected a value {sign} {bound:.15g}, but got {value} instead.",
        param=param,
        code=f"{kind}_{code}_value",
    )


_BELOW = ("below minimum", ">=", "below_min")


def too_many_properties(param: str, limit: int, count: int) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid '{param}': too many properties. Expected an object with at most {limit} "
        f"properties, but got an object with {count} properties instead.",
        param=param,
        code="object_above_max_properties",
    )


def property_name_too_long(param: str, name: str, limit: int) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid property name in '{param}': '{shorten(name)}' is too long. Expected a string "
        f"with maximum length {limit}, but got a string with length {len(name)} instead.",
        param=param,
        code="string_above_max_length",
    )


def unusable_text(param: str | None) -> InvalidRequest:
    """Text that UTF-8 or PostgreSQL cannot hold. It is not repeated: it would not survive."""
    where = f"'{param}'" if param else "parameter"
    return InvalidRequest(
        f"Invalid {where}: text must not contain NUL characters (\\u0000) "
        "or unpaired UTF-16 surrogates.",
        param=param,
        code="invalid_value",
    )
