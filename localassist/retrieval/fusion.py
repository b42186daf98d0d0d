"""One number out of six: scores of different kinds, made comparable and added."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def fuse(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum of the z-scores of every column, all with the same weight: [n, k] to [n].

    A column in which all are the same says nothing and adds nothing.
    """
    if not len(scores):
        return np.zeros(0)
    spread = scores.std(axis=0)
    says = spread > 1e-9
    centred = scores[:, says] - scores[:, says].mean(axis=0)
    fused: NDArray[np.float64] = (centred / spread[says]).sum(axis=1)
    return fused


def contenders(scores: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Rows that are among the ``count`` best of at least one column, ascending.

    Only these are compared: what is far from the question in every respect would otherwise decide
    how much a difference near it weighs.
    """
    if len(scores) <= count:
        return np.arange(len(scores))
    return np.unique(np.concatenate([best(scores[:, k], count) for k in range(scores.shape[1])]))


def best(scores: NDArray[np.floating], count: int) -> NDArray[np.int64]:
    """Places of the highest scores, in no order; of equal ones the first."""
    if len(scores) <= count:
        return np.arange(len(scores))
    threshold = np.partition(scores, -count)[-count]
    above = np.flatnonzero(scores > threshold)
    return np.concatenate([above, np.flatnonzero(scores == threshold)[: count - len(above)]])
