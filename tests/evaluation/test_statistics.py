"""Bootstrap intervals: what they must contain, and when a difference is clear."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.evaluation.statistics import estimate, paired_difference

VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@given(VALUES, st.integers(0, 9))
def test_the_interval_contains_the_mean_and_stays_among_the_values(
    values: list[float], seed: int
) -> None:
    found = estimate(values, seed)
    assert found.mean == pytest.approx(sum(values) / len(values))
    assert min(values) - 1e-9 <= found.low <= found.mean <= found.high <= max(values) + 1e-9
    assert estimate(values, seed) == found


def test_the_interval_of_a_coin_is_about_two_standard_errors_wide() -> None:
    found = estimate([0.0, 1.0] * 200)
    assert found.high - found.mean == pytest.approx(1.96 * 0.5 / 20, rel=0.15)


def test_a_small_difference_is_clear_when_every_question_shows_it() -> None:
    hard_and_easy = np.linspace(0, 1, 50)
    better = paired_difference(hard_and_easy + 0.01, hard_and_easy)
    assert better.mean == pytest.approx(0.01) and better.is_clear
    assert not paired_difference(hard_and_easy, hard_and_easy).is_clear
    assert not paired_difference(hard_and_easy, hard_and_easy[::-1]).is_clear
