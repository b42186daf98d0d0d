from __future__ import annotations

import itertools

import pytest

from localassist.runs import state
from localassist.storage.runs import CLAIMABLE_STATUSES
from localassist.storage.tables import ACTIVE_STATUSES

ALL = state.ACTIVE | state.TERMINAL


def test_every_status_is_active_or_terminal() -> None:
    assert not state.ACTIVE & state.TERMINAL
    assert set(itertools.chain(*state.TRANSITIONS.values())) | {"queued"} == ALL


@pytest.mark.parametrize("current", sorted(state.TERMINAL))
def test_nothing_follows_an_end(current: str) -> None:
    for target in ALL:
        with pytest.raises(state.IllegalTransition):
            state.check(current, target)


@pytest.mark.parametrize("current", sorted(state.ACTIVE))
def test_every_active_run_can_come_to_an_end(current: str) -> None:
    reached, frontier = {current}, {current}
    while frontier:
        frontier = {t for c in frontier for t in state.TRANSITIONS.get(c, ())} - reached
        reached |= frontier
    assert reached & state.TERMINAL


def test_waiting_for_outputs_is_left_only_by_them_or_an_end() -> None:
    assert state.TRANSITIONS["requires_action"] == {"queued", "cancelling", "expired"}


def test_storage_locks_and_claims_by_the_same_statuses() -> None:
    assert set(ACTIVE_STATUSES) == state.ACTIVE
    assert set(CLAIMABLE_STATUSES) == state.ACTIVE - {"requires_action"}
