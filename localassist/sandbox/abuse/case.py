"""What an abuse case is, and what can come out of one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from textwrap import dedent
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from localassist.sandbox.abuse.scene import Scene

Outcome = Literal["blocked", "NOT BLOCKED", "known", "changed", "not applicable", "no answer"]
"""``known`` is a gap that the documentation names and that is there; ``changed`` is one that is
not there any more, so that the documentation is wrong. ``no answer``: the case itself failed."""

Proof = Literal["succeeds", "STILL STOPPED", "not applicable", "no answer"]
"""What an attack does once the protection against it is taken away."""

GOOD_OUTCOMES: frozenset[Outcome] = frozenset({"blocked", "known", "not applicable"})
GOOD_PROOFS: frozenset[Proof] = frozenset({"succeeds", "not applicable"})


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether the attack worked; None: it cannot be tried on this machine."""

    succeeded: bool | None
    detail: str


class NoAnswer(Exception):
    """The case could not tell whether it succeeded: a mistake in it, never a protection."""


Judge = Callable[["Scene"], Awaitable[Finding]]
"""Carries an attack out and says what came of it."""


@dataclass(frozen=True, slots=True)
class Ablation:
    """The same attack with what stops it taken away: protections of the box by name, limits
    raised, or the host's own rules ignored (``judge``). It has to succeed then."""

    without: frozenset[str] = frozenset()
    limits: Mapping[str, float] = field(default_factory=dict)
    judge: Judge | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One attack. ``code`` runs in a kernel after the prelude and says ``reached`` or ``stopped``;
    ``judge`` is for what only the host can tell. ``limits`` replace the suite's for this case.
    ``spoils``: the kernel is not to be used again. ``is_known``: it succeeds, and the
    documentation says so. ``hits_all``: it would hurt whoever runs the suite, were there no
    namespace of processes; tried only under a strong provider."""

    name: str
    tries: str
    stopped_by: str
    code: str = ""
    judge: Judge | None = None
    limits: Mapping[str, float] = field(default_factory=dict)
    ablation: Ablation | None = None
    spoils: bool = False
    is_known: bool = False
    hits_all: bool = False


def source(code: str) -> str:
    """Code of a case as it is sent, without the indentation it has here."""
    return dedent(code).strip() + "\n"


def without(*protections: str) -> Ablation:
    return Ablation(without=frozenset(protections))


def raised(**limits: float) -> Ablation:
    return Ablation(limits=limits)
