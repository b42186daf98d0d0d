"""Cosines of a question with every unit and its windows, without an index.

A window's cosine needs no vector of its own: it is the sum of its units' cosines over the length of
the sum of their vectors, which segments know (``norms``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from localassist.retrieval.segment import Segment

_REACHES = (1, 4)  # of the columns of ``Segment.norms``
_SMALLEST_NORM = 1e-6


class ExactTable:
    """The vectors of several files in one block: 4 · d bytes per unit.

    Rows are the units of the files in the order given; ``offsets`` [files + 1] says where each
    file's begin. ``units`` is every row's number within its file, ``file_of`` its file, ``spans``
    [n, 2] its code points.
    """

    def __init__(self, members: Mapping[str, Segment]) -> None:
        self.file_ids = list(members)
        segments = list(members.values())
        lengths = np.array([len(segment) for segment in segments], np.int64)
        self.offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        self.file_of = np.repeat(np.arange(len(segments)), lengths)
        rows = np.arange(self.offsets[-1])
        first, end = self.offsets[self.file_of], self.offsets[self.file_of + 1]
        self.units = rows - first
        self._windows = [
            (np.maximum(rows - reach, first), np.minimum(rows + reach + 1, end))
            for reach in _REACHES
        ]
        self.spans = _stacked([segment.units[:, :2] for segment in segments])
        self._vectors = _stacked([segment.vectors for segment in segments])
        self._norms = np.maximum(_stacked([segment.norms for segment in segments]), _SMALLEST_NORM)

    def __len__(self) -> int:
        return len(self.units)

    def cosines(self, vector: NDArray[np.float32]) -> NDArray[np.float64]:
        """Of every unit, its ±1 window and its ±4 window: [n, 3]."""
        if not len(self):
            return np.zeros((0, 3))
        return _with_windows(dots(self._vectors, vector), self._windows, self._norms)


def cosines_of(
    units: Sequence[tuple[Segment, NDArray[np.int64]]], vector: NDArray[np.float32]
) -> NDArray[np.float64]:
    """The same for some units of each segment, [k, 3] in that order, reading only their windows."""
    if not units:
        return np.zeros((0, 3))
    widest = max(_REACHES)
    numbers = np.concatenate([own for _, own in units])
    lengths = np.repeat([len(segment) for segment, _ in units], [len(own) for _, own in units])
    lo, hi = np.maximum(numbers - widest, 0), np.minimum(numbers + widest + 1, lengths)
    ranges = zip(lo.tolist(), hi.tolist(), strict=True)
    block = np.concatenate(
        [
            vectors[first:end]
            for vectors, own in ((np.asarray(each.vectors), own) for each, own in units)
            for first, end in islice(ranges, len(own))
        ]
    )
    ends = np.cumsum(hi - lo)
    begins = ends - (hi - lo)
    rows = begins + numbers - lo
    windows = [
        (np.maximum(rows - reach, begins), np.minimum(rows + reach + 1, ends)) for reach in _REACHES
    ]
    norms = np.concatenate([segment.norms[own] for segment, own in units])
    return _with_windows(dots(block, vector), windows, np.maximum(norms, _SMALLEST_NORM), rows)


def dots(vectors: NDArray[np.float32], vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of every row. Not BLAS: beside a model that computes on all cores, waiting for its threads
    takes a hundred times as long as the sums, and one thread alone is as fast."""
    found: NDArray[np.float32] = np.einsum("ij,j->i", vectors, vector)
    return found


def _with_windows(
    cosines: NDArray[np.floating],
    windows: list[tuple[NDArray[np.int64], NDArray[np.int64]]],
    norms: NDArray[np.float32],
    rows: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    sums = np.concatenate([[0.0], np.cumsum(cosines, dtype=np.float64)])
    columns = [cosines if rows is None else cosines[rows]]
    for column, (lo, hi) in enumerate(windows):
        columns.append((sums[hi] - sums[lo]) / norms[:, column])
    # By column, because each is ranked on its own.
    found: NDArray[np.float64] = np.array(columns, np.float64).T
    return found


def _stacked(parts: list[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros((0, 2), np.float32)
