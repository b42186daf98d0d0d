"""Rows of prompts beside answers."""

from __future__ import annotations

import random

import pytest

from localassist.engine.pace import Pace


def test_a_first_guess_before_anything_was_seen() -> None:
    assert Pace(3.0).prompt_rows(1) == 4
    assert Pace(3.0).prompt_rows(8) == 18


def test_without_a_quiet_step_the_guess_stays() -> None:
    pace = Pace(3.0)
    pace.observe(1, 4, 10.0)
    assert pace.prompt_rows(1) == 4


@pytest.mark.parametrize(("base", "per_row"), [(3.0, 1.5), (4.0, 4.2), (20.0, 0.1)])
@pytest.mark.parametrize("answers", [1, 4, 16])
def test_it_settles_below_the_longest_gap(base: float, per_row: float, answers: int) -> None:
    pace, noise = Pace(3.0), random.Random(1)

    def seconds(rows: int) -> float:
        return (base + per_row * (answers + rows)) * noise.uniform(0.9, 1.1)

    for _ in range(20):
        pace.observe(answers, 0, seconds(0))
    gaps = []
    for _ in range(200):
        rows = pace.prompt_rows(answers)
        gaps.append(seconds(rows))
        pace.observe(answers, rows, gaps[-1])
    settled = sorted(gaps[100:])
    quiet = base + per_row * answers
    assert settled[95] < 3.0 * 1.3 * quiet
    assert settled[50] > 3.0 * 0.75 * quiet or pace.prompt_rows(answers) <= 3


def test_rows_that_get_dearer_become_fewer_but_never_none() -> None:
    pace = Pace(3.0)
    pace.observe(1, 0, 1.0)
    for cost in (0.1, 1.0, 100.0):
        for _ in range(40):
            rows = pace.prompt_rows(1)
            pace.observe(1, rows, 1 + cost * rows)
        assert pace.prompt_rows(1) == {0.1: 20, 1.0: 2, 100.0: 2}[cost] or cost == 0.1
    assert pace.prompt_rows(1) == 2


def test_the_short_end_of_a_prompt_does_not_slow_the_next_one() -> None:
    pace = Pace(3.0)
    pace.observe(1, 0, 1.0)
    for _ in range(40):
        pace.observe(1, pace.prompt_rows(1), 1 + 0.1 * pace.prompt_rows(1))
    before = pace.prompt_rows(1)
    pace.observe(1, 1, 1.1)
    assert pace.prompt_rows(1) == before


def test_a_hiccup_is_no_quiet_step() -> None:
    pace = Pace(3.0)
    for _ in range(10):
        pace.observe(1, 0, 1.0)
    pace.observe(1, 0, 1000.0)
    pace.observe(1, 4, 3.0)
    assert pace.prompt_rows(1) <= 5
