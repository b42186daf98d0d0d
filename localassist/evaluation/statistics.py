"""Means with confidence intervals, by the bootstrap. Pure; the same seed gives the same interval.

Efron's percentile bootstrap: the questions are drawn anew with replacement, and the interval is
what the mean does in 95 % of the draws. Differences are taken question by question first (paired),
so that questions which are hard for everybody do not blur them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DRAWS = 2_000
_AT_ONCE = 1_000_000  # drawn places held in memory


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Of a difference: that it is not just chance."""
        return self.low > 0 or self.high < 0


def estimate(values: Sequence[float] | npt.NDArray[np.float64], seed: int = 0) -> Estimate:
    """The mean of at least one value."""
    sample = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    count = len(sample)
    step = max(1, _AT_ONCE // count)
    means = np.concatenate(
        [
            sample[rng.integers(count, size=(min(step, DRAWS - first), count))].mean(axis=1)
            for first in range(0, DRAWS, step)
        ]
    )
    low, high = np.percentile(means, [2.5, 97.5])
    mean = float(sample.mean())
    # The percentiles of rounded means may miss the mean of equal values by the last digit.
    return Estimate(mean, min(float(low), mean), max(float(high), mean))


def paired_difference(
    these: Sequence[float] | npt.NDArray[np.float64],
    those: Sequence[float] | npt.NDArray[np.float64],
    seed: int = 0,
) -> Estimate:
    """These minus those, of the same questions in the same order."""
    first, second = np.asarray(these, dtype=np.float64), np.asarray(those, dtype=np.float64)
    assert first.shape == second.shape, "differences are between the same questions"
    return estimate(first - second, seed)
