"""Statuses of runs, steps and messages, and which changes are legal. Pure.

Source: the hosted API's life of a run. This is the only place that refuses a change.
"""

from __future__ import annotations

TRANSITIONS: dict[str, frozenset[str]] = {
    "queued": frozenset({"in_progress", "cancelling", "failed", "expired"}),
    "in_progress": frozenset(
        {"requires_action", "completed", "incomplete", "failed", "cancelling", "expired"}
    ),
    "requires_action": frozenset({"queued", "cancelling", "expired"}),
    # A cancellation may come too late: the run then ends as it would have.
    "cancelling": frozenset({"cancelled", "completed", "incomplete", "failed"}),
}
TERMINAL: frozenset[str] = frozenset({"completed", "incomplete", "failed", "cancelled", "expired"})
ACTIVE: frozenset[str] = frozenset(TRANSITIONS)

STEP_END: dict[str, str] = {
    "failed": "failed",
    "cancelled": "cancelled",
    "expired": "expired",
    "incomplete": "completed",
    "completed": "completed",
}
"""How an open step ends with its run; that of an incomplete run completes."""

MESSAGE_INCOMPLETE_REASON: dict[str, str] = {
    "failed": "run_failed",
    "cancelled": "run_cancelled",
    "expired": "run_expired",
    "incomplete": "max_tokens",
}


class IllegalTransition(AssertionError):
    """Our own bug: code asked for a change that the table does not have."""


def check(current: str, target: str) -> None:
    """Raise IllegalTransition unless a run may go from ``current`` to ``target``."""
    if target not in TRANSITIONS.get(current, frozenset()):
        raise IllegalTransition(f"a run cannot go from {current} to {target}")
