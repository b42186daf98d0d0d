"""Rows of prompts beside answers."""

from __future__ import annotations

import random

import pytest

from localassist.engine.pace import LONGEST_GAP, Pace


def test_a_first_guess_before_anything_was_seen() -> None:
    assert Pace().prompt_rows(1) == 4
    assert Pace().prompt_rows(8) == 18


def test_a_step_takes_no_time_or_always_the_same() -> None:
    for seconds in (0.0, 0.01):
        pace = Pace()
        for _ in range(50):
            pace.observe(1, seconds)
        assert 2 <= pace.prompt_rows(1) <= 6


@pytest.mark.parametrize(("base", "slope"), [(0.003, 0.0015), (0.004, 0.0042), (0.02, 0.0001)])
@pytest.mark.parametrize("answers", [1, 4, 16])
def test_it_learns_what_rows_cost(base: float, slope: float, answers: int) -> None:
    pace, noise = Pace(), random.Random(1)
    for _ in range(200):
        rows = answers if noise.random() < 0.5 else answers + pace.prompt_rows(answers)
        pace.observe(rows, (base + slope * rows) * noise.uniform(0.9, 1.1))
    quiet = base + slope * answers
    mixed = base + slope * (answers + pace.prompt_rows(answers))
    assert mixed / quiet < LONGEST_GAP * 1.35
    assert mixed / quiet > LONGEST_GAP * 0.5 or pace.prompt_rows(answers) <= 4


def test_prompts_alone_teach_it_nothing() -> None:
    pace = Pace()
    pace.observe(512, 1.0)
    assert pace.prompt_rows(1) == Pace().prompt_rows(1)
