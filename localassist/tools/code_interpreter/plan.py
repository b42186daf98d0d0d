"""What a coder decides and writes, and why."""

from __future__ import annotations

from dataclasses import dataclass, field

from localassist.core import Usage


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether code is wanted. ``evidence`` says in words what speaks for it or against it."""

    is_wanted: bool
    evidence: str
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class Written:
    """Always last. ``code`` is all of the cell; empty when there is nothing left to try, so that
    nothing is run. ``evidence`` says where the cell comes from."""

    code: str
    usage: Usage
    evidence: str
