"""Drafts in the scheduler: rows for guesses, and what becomes of their cells."""

from __future__ import annotations

import pytest

from localassist.engine.batch import build_batch
from localassist.engine.sequence import Sequence, Status
from tests.engine.cell_twin import alone
from tests.engine.scheduler_bench import Harness, guesser

pytestmark = pytest.mark.usefixtures("little_is_worth_it")


def test_right_drafts_save_steps_and_wrong_ones_cost_none() -> None:
    steps = {}
    for quality in (0, 10):
        harness = Harness(60, 16, 1, draft_rows=4, propose=guesser(quality, 3))
        sequence = harness.add([1, 2, 3], 24)
        steps[quality] = 0
        while harness.scheduler.has_work:
            harness.step()
            steps[quality] += 1
        assert sequence.tokens == alone([1, 2, 3], 24)
    assert steps[0] == 24 and steps[10] < 12


def test_drafts_are_dealt_evenly() -> None:
    harness = Harness(100, 18, 3, draft_rows=15, propose=lambda tokens: [9] * 5)
    sequences = [harness.add([60 + i], 30) for i in range(3)]
    harness.step()
    for _ in range(3):
        drafted = {c.sequence: c.drafted for c in harness.step().chunks}
        assert drafted.keys() == set(sequences) and sorted(drafted.values()) == [2, 2, 3]


def test_many_answers_leave_no_rows_to_drafts() -> None:
    harness = Harness(100, 18, 5, draft_rows=15, propose=lambda tokens: [9] * 5)
    for i in range(5):
        harness.add([60 + i], 30)
    harness.step()
    assert sum(chunk.drafted for chunk in harness.step().chunks) == 0


def test_drafts_take_no_cell_from_anybody() -> None:
    harness = Harness(40, 16, 1, draft_rows=6, propose=lambda tokens: [9] * 5)
    harness.add([50] * 25, 1)
    harness.run()  # leaves idle cells
    harness.add([60], 30)
    narrowest = 5
    while free := harness.scheduler.kv.free_cells:
        (chunk,) = harness.step().chunks
        assert chunk.drafted <= free - 1
        narrowest = min(narrowest, chunk.drafted)
    assert narrowest == 0 and harness.scheduler.cache.evictions == 0


def test_a_draft_that_nobody_replaces_is_computed_once() -> None:
    harness = Harness(60, 16, 1, draft_rows=6)
    sequence = Sequence([1, 2, 3], draft=[8, 9])
    harness.scheduler.add(sequence)
    plan = harness.scheduler.schedule()
    assert plan.rows == 5
    harness.model.forward(build_batch(plan.chunks)[0])
    harness.scheduler.complete(plan)
    sequence.tokens += [8, 7]
    harness.scheduler.settle(plan.chunks[0])
    assert sequence.computed == 4 and sequence.draft == []
    harness.check()
    assert harness.scheduler.schedule().rows == 1


def test_models_that_cannot_share_are_not_speculated_on() -> None:
    harness = Harness(60, 16, 1, can_share=False, draft_rows=4, propose=guesser(10, 3))
    sequence = harness.add([1, 2], 8)
    for _ in range(8):
        (chunk,) = harness.step().chunks
        assert chunk.drafted == 0
    assert sequence.status is Status.FINISHED


def test_cells_of_accepted_drafts_are_kept_when_the_sequence_ends_with_them() -> None:
    harness = Harness(60, 16, 1, draft_rows=8, propose=guesser(10, 3))
    sequence = harness.add([1, 2, 3], 24)
    harness.run()
    again = harness.add([*sequence.tokens, 1], 1)
    harness.run()
    assert again.cached_tokens == len(sequence.tokens) - 1
