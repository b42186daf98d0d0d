"""Which units of a vector store come into question, and their six scores."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from localassist.retrieval.fusion import best
from localassist.retrieval.indexes.exact import ExactTable, cosines_of, dots
from localassist.retrieval.lexical import FIELDS, Matches, file_number

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    from localassist.retrieval.segment import Segment
    from localassist.retrieval.store_index import StoreIndex

    Key: TypeAlias = tuple[str, int]
    Weights: TypeAlias = Mapping[str, Mapping[str, float]]

EXACT_UNITS = 50_000
"""Up to here all vectors of a store are held in memory and compared; beyond, Chroma is asked."""

CANDIDATES = 200
"""So many of the best of every kind of score are compared."""

MATCHES = 1_000
"""So many of the best of a lexical field have a score in it; that of others counts as 0, which
changes no ranking that matters and saves a second query."""

_UNIT_BITS = 32
_UNIT_MASK = (1 << _UNIT_BITS) - 1


class Source:
    """A vector store, open for search: its index, and the files that are its members by id.

    Entries of the index whose file is no member are not found. Make a new one when the members
    change; it may hold the vectors of all members in memory. Threads may share one.
    """

    def __init__(self, index: StoreIndex, members: Mapping[str, Segment]) -> None:
        self.index = index
        self.members = members
        self.file_ids = sorted(members)
        self._place_of = {file_id: place for place, file_id in enumerate(self.file_ids)}
        numbers = np.array([file_number(file_id) for file_id in self.file_ids], np.int64)
        self._order = np.argsort(numbers)
        self._numbers = numbers[self._order]
        self._lock = threading.Lock()
        self._table: _Table | None = None

    @cached_property
    def units(self) -> int:
        """Of all members."""
        return self.units_of(self.file_ids)

    def units_of(self, file_ids: Iterable[str]) -> int:
        known = self.index.lexical.units
        return sum(
            known[file_id] if file_id in known else len(self.members[file_id])
            for file_id in file_ids
        )

    def table(self) -> _Table:
        """Of all members, made when first asked for."""
        with self._lock:
            if self._table is None:
                exact = ExactTable({file_id: self.members[file_id] for file_id in self.file_ids})
                self._table = _Table(exact)
            return self._table

    def of_members(self, matches: Matches) -> Matches:
        """The matches in members only; ``files`` are places in ``file_ids``."""
        if not self.file_ids:
            return Matches(matches.files[:0], matches.units[:0], matches.scores[:0])
        at = np.minimum(np.searchsorted(self._numbers, matches.files), len(self._numbers) - 1)
        known = self._numbers[at] == matches.files
        return Matches(self._order[at[known]], matches.units[known], matches.scores[known])

    def ids(self, keys: Iterable[Key]) -> NDArray[np.int64]:
        """Of members' units, as in ``_ids``."""
        places = np.array([(self._place_of[file_id], unit) for file_id, unit in keys], np.int64)
        return _ids(*places.reshape(-1, 2).T)


class _Table:
    """All cosines, and where the matches of the lexical index stand among them."""

    def __init__(self, exact: ExactTable) -> None:
        self.exact = exact

    def rows(self, matches: Matches) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Rows and scores of matches, which are in members."""
        offsets = self.exact.offsets
        rows = offsets[matches.files] + matches.units
        known = rows < offsets[matches.files + 1]
        return rows[known], matches.scores[known]

    def in_scope(self, file_ids: Sequence[str]) -> NDArray[np.int64]:
        """The rows of these files."""
        if len(file_ids) == len(self.exact.file_ids):
            return np.arange(len(self.exact))
        wanted = set(file_ids)
        of_file = np.array([file_id in wanted for file_id in self.exact.file_ids], bool)
        return np.flatnonzero(of_file[self.exact.file_of])

    def keys(self, rows: NDArray[np.int64]) -> list[Key]:
        files, units = self.exact.file_of[rows].tolist(), self.exact.units[rows].tolist()
        return [(self.exact.file_ids[file], unit) for file, unit in zip(files, units, strict=True)]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Units of one source: ``keys`` are file id and unit, ``parts`` their six scores [n, 6],
    ``spans`` their code points [n, 2]."""

    keys: list[Key]
    parts: NDArray[np.float64]
    spans: NDArray[np.int32]


def _ids(files: NDArray[np.int64], units: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number for each unit, in the order of the keys."""
    return files << _UNIT_BITS | units


def candidates(
    source: Source, file_ids: Sequence[str], vector: NDArray[np.float32], weights: Weights
) -> Candidates:
    """The best units of these files in every respect. ``weights`` are those of the query's terms
    in each field of the lexical index."""
    if source.units <= EXACT_UNITS:
        return _from_table(source, file_ids, vector, weights)
    return _from_indexes(source, file_ids, vector, weights)


def _from_table(
    source: Source, file_ids: Sequence[str], vector: NDArray[np.float32], weights: Weights
) -> Candidates:
    """All cosines are known."""
    table = source.table()
    cosines = table.exact.cosines(vector)
    scope = table.in_scope(file_ids)
    lexical = np.zeros((len(table.exact), len(FIELDS)))
    named = [scope[best(column[scope], CANDIDATES)] for column in cosines.T]
    for column, matches in enumerate(_matches(source, file_ids, weights)):
        rows, scores = table.rows(matches)
        lexical[rows, column] = scores
        named.append(rows[:CANDIDATES])
    rows = np.unique(np.concatenate(named))
    parts = np.hstack([cosines[rows], lexical[rows]])
    return Candidates(table.keys(rows), parts, table.exact.spans[rows])


def _from_indexes(
    source: Source, file_ids: Sequence[str], vector: NDArray[np.float32], weights: Weights
) -> Candidates:
    """The indexes name the candidates; their segments know the cosines."""
    # Both indexes leave the interpreter to others while they look.
    with ThreadPoolExecutor(1) as beside:
        nearest = beside.submit(_nearest, source, file_ids, vector)
        fields = _matches(source, file_ids, weights)
        near = source.ids(nearest.result())
    ids = [_ids(matches.files, matches.units) for matches in fields]
    # Matches come best first.
    named = np.unique(np.concatenate([near, *(own[:CANDIDATES] for own in ids)]))
    parts = np.zeros((len(named), 6))
    for column, (own, matches) in enumerate(zip(ids, fields, strict=True), start=3):
        _, rows, at = np.intersect1d(named, own, assume_unique=True, return_indices=True)
        parts[rows, column] = matches.scores[at]
    files, units = named >> _UNIT_BITS, named & _UNIT_MASK
    asked, begins = np.unique(files, return_index=True)
    found = [source.file_ids[file] for file in asked.tolist()]
    by_file = list(
        zip([source.members[name] for name in found], np.split(units, begins[1:]), strict=True)
    )
    keys = [
        (name, unit) for name, (_, own) in zip(found, by_file, strict=True) for unit in own.tolist()
    ]
    parts[:, :3] = cosines_of(by_file, vector)
    spans = [segment.units[own, :2] for segment, own in by_file]
    return Candidates(keys, parts, np.concatenate(spans) if spans else np.zeros((0, 2), np.int32))


def _matches(source: Source, file_ids: Sequence[str], weights: Weights) -> list[Matches]:
    """Of every field, best first, of members."""
    restriction = None if len(file_ids) == len(source.file_ids) else file_ids
    best_of = source.index.lexical.best
    return [
        source.of_members(best_of(field, weights[field], MATCHES, restriction)) for field in FIELDS
    ]


def _nearest(source: Source, file_ids: Sequence[str], vector: NDArray[np.float32]) -> list[Key]:
    """By cosine: the vector index for files that it has, a scan over those that it lacks. Few files
    are scanned in any case, because a filtered query of the index is slow."""
    asked = [file_id for file_id in file_ids if file_id in source.index.collected]
    is_part = len(file_ids) < len(source.file_ids)
    if is_part and source.units_of(asked) <= EXACT_UNITS:
        asked = []
    found: list[Key] = []
    if asked:
        among = set(asked)
        hits = source.index.nearest(vector, CANDIDATES, asked if is_part else None)
        # A crash may have left entries of files that are members no more.
        found += [hit for hit in hits if hit.file_id in among]
    scanned = sorted(set(file_ids) - set(asked))
    if scanned:
        cosines = [dots(source.members[file_id].vectors, vector) for file_id in scanned]
        offsets = np.concatenate([[0], np.cumsum([len(part) for part in cosines])])
        for row in best(np.concatenate(cosines), CANDIDATES).tolist():
            at = int(np.searchsorted(offsets, row, side="right")) - 1
            found.append((scanned[at], row - int(offsets[at])))
    return found
