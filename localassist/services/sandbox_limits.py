"""Lower limits of the code interpreter that an assistant asks for, in its metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields

from localassist.errors import InvalidRequest
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.limits import Limits
from localassist.schemas import phrases

PREFIX = "localassist.sandbox."
"""Before the name of a field of ``Limits``; the value is a number as text."""

_NAMES = tuple(field.name for field in fields(Limits))


def _minimum(name: str) -> float:
    """What the operator may not go below either."""
    bounds = SandboxSettings.model_fields[name].metadata
    return next(float(bound.ge) for bound in bounds if hasattr(bound, "ge"))


_LEAST = {name: _minimum(name) for name in _NAMES}


def wanted_limits(metadata: Mapping[str, str] | None) -> dict[str, float]:
    """The limits by field, as ``Limits.lowered`` takes them. What is not valid is left out: it was
    stored before it meant anything."""
    wanted = {}
    for name in _NAMES:
        value = _number(name, (metadata or {}).get(PREFIX + name))
        if value is not None and value >= _LEAST[name]:
            wanted[name] = value
    return wanted


def check_limits(metadata: Mapping[str, str] | None, maxima: Limits) -> None:
    """Raises InvalidRequest for a limit that does not exist, is not a number, or is not between
    what a kernel needs and what the operator allows."""
    for key, text in (metadata or {}).items():
        if not key.startswith(PREFIX):
            continue
        name, param = key.removeprefix(PREFIX), f"metadata.{key}"
        if name not in _NAMES:
            raise phrases.unknown(param)
        value = _number(name, text)
        if value is None:
            kind = "a decimal number" if name == "cell_seconds" else "an integer"
            raise InvalidRequest(
                f"Invalid type for '{param}': expected {kind} as a string, "
                f"but got '{phrases.shorten(text)}' instead.",
                param=param,
                code="invalid_type",
            )
        most = getattr(maxima, name)
        least = type(most)(_LEAST[name])
        if value < least or value > most:
            above = value > most
            raise phrases.out_of_range(param, most if above else least, text, above=above)


def _number(name: str, text: str | None) -> float | None:
    """The value of a limit: whole, but for seconds."""
    if text is None or not re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", text, re.ASCII):
        return None
    if name == "cell_seconds":
        return float(text)
    return None if "." in text else int(text)
