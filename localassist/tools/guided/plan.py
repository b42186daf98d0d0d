"""What a guided caller decides, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from localassist.core import Usage


@dataclass(frozen=True, slots=True)
class ToolScore:
    """The evidence for one tool; ``decision`` above 0 speaks for a call.

    ``likelihood`` is the question's mean log-probability after the tool's description, ``gain`` how
    much more that is than without it, in nats; ``similarity`` the cosine of question and tool;
    ``shared_words`` the share of the tool's words that the question speaks of.
    """

    name: str
    likelihood: float
    gain: float
    similarity: float
    shared_words: float
    decision: float


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """``arguments`` is JSON text that fits the tool's schema; ``evidence`` tells per argument where
    its value came from."""

    name: str
    arguments: str
    evidence: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolPlan:
    """No calls means: answer in words. ``grounding``, 0 to 1, is how much of what the best tool
    requires stands in the question, None where it was not tried."""

    calls: tuple[PlannedCall, ...] = ()
    scores: tuple[ToolScore, ...] = ()
    usage: Usage = field(default_factory=Usage)
    grounding: float | None = None
