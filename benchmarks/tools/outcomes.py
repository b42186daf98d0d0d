"""What became of each question, and what that says of a category."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator

from benchmarks import common
from benchmarks.tools.dataset import Item
from benchmarks.tools.scoring import RIGHT, Call, verdict

_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Outcome:
    """One question asked of one subject. ``verdict`` is ``right`` or what was wrong; ``valid`` says
    of each call whether its arguments fit their schema; ``error`` is why there is no answer."""

    item: Item
    choice: str
    calls: tuple[Call, ...]
    verdict: str
    valid: tuple[bool, ...]
    seconds: float
    evaluated_tokens: int
    written_tokens: int
    error: str | None
    evidence: Mapping[str, Any]

    @property
    def is_right(self) -> bool:
        return self.verdict == RIGHT

    def record(self, subject: str) -> dict[str, Any]:
        """For a file of JSON lines."""
        return {
            "subject": subject,
            "id": self.item.id,
            "category": self.item.category,
            "choice": self.choice,
            "question": self.item.messages[-1]["content"],
            "wanted": self.item.wanted,
            "got": [{call.name: call.values() or call.arguments} for call in self.calls],
            "verdict": self.verdict,
            "valid": self.valid,
            "seconds": round(self.seconds, 4),
            "evaluated": self.evaluated_tokens,
            "written": self.written_tokens,
            "error": self.error,
            "evidence": self.evidence,
        }


def judged(item: Item, choice: str, answered: Mapping[str, Any]) -> Outcome:
    """``answered`` is what a subject's ``call`` returned. An error is never right: who does not
    answer has not rejected the call either."""
    calls = tuple(Call(name, arguments) for name, arguments in answered["calls"])
    error = answered.get("error")
    return Outcome(
        item=item,
        choice=choice,
        calls=calls,
        verdict=verdict(calls, item.functions, item.wanted) if error is None else "error",
        valid=tuple(is_valid(call, item.tools) for call in calls),
        seconds=answered.get("seconds", 0.0),
        evaluated_tokens=answered.get("evaluated", 0),
        written_tokens=answered.get("written", 0),
        error=error,
        evidence=answered.get("evidence", {}),
    )


def is_valid(call: Call, tools: Sequence[Mapping[str, Any]]) -> bool:
    """The function is among the tools and the arguments are JSON that fits its schema."""
    offered = {tool["function"]["name"]: tool["function"] for tool in tools}
    if call.name not in offered:
        return False
    try:
        values = json.loads(call.arguments)
    except (ValueError, RecursionError):
        return False
    return Draft202012Validator(offered[call.name]["parameters"]).is_valid(values)


def summary(outcomes: Sequence[Outcome]) -> common.Row:
    """The figures of one subject in one category. ``called`` is the share of questions that were
    answered with a call; ``valid`` the share of calls that fit, None without a call; tokens and
    seconds are means over the questions answered with one, or over all where none wants one."""
    right = [outcome.is_right for outcome in outcomes]
    valid = [fits for outcome in outcomes for fits in outcome.valid]
    wants_none = all(not outcome.item.wanted for outcome in outcomes)
    timed = [o for o in outcomes if o.error is None and (o.calls or wants_none)]
    calls = sum(max(1, len(outcome.calls)) for outcome in timed)
    return {
        "items": len(outcomes),
        "right %": 100 * sum(right) / len(right),
        "95 %": "{:.0f} to {:.0f}".format(*(100 * end for end in interval(right))),
        "called %": 100 * sum(bool(o.calls) for o in outcomes) / len(outcomes),
        "valid %": 100 * sum(valid) / len(valid) if valid else None,
        "tokens read": _mean([o.evaluated_tokens - o.written_tokens for o in timed], calls),
        "written": _mean([o.written_tokens for o in timed], calls),
        "s": _mean([o.seconds for o in timed], calls),
        "errors": sum(outcome.error is not None for outcome in outcomes),
    }


def interval(right: Sequence[bool], percent: float = 95) -> tuple[float, float]:
    """The bootstrap interval of a share: between which shares so many of the resamples lie."""
    draw = random.Random(0)
    shares = [sum(draw.choices(right, k=len(right))) / len(right) for _ in range(_RESAMPLES)]
    outside = (100 - percent) / 2
    return common.percentile(shares, outside), common.percentile(shares, 100 - outside)


def _mean(values: Sequence[float], count: int) -> float | None:
    return sum(values) / count if count else None
