"""Hits to the text that is returned: chunks for a caller, passages for a prompt."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from localassist.retrieval.passages import Passage, UnitHit
from localassist.retrieval.segment import Segment


@dataclass(frozen=True, slots=True)
class Chunking:
    """How a file is returned: chunks of at most ``size`` tokens, of which at most ``overlap`` are
    also in the chunk before. Tokens are those of the store's embedder."""

    size: int
    overlap: int


AUTO_TOKENS = 350
"""How long a chunk of the strategy ``auto`` may be. Shorter than the 800 that the API echoes for
it: the units beneath are found one by one, and a prompt pays for every token."""


def tiles(tokens: Sequence[int], chunking: Chunking) -> list[tuple[int, int]]:
    """Runs of units ``range(lo, hi)`` that are a file's chunks, in order: every unit is in one.

    A chunk ends where the next unit would exceed the size, and the next one begins with as many
    whole units of it as the overlap allows. A unit larger than the size is a chunk of its own.
    """
    found: list[tuple[int, int]] = []
    lo = 0
    while True:
        hi, total = lo, 0
        while hi < len(tokens) and (hi == lo or total + tokens[hi] <= chunking.size):
            total += tokens[hi]
            hi += 1
        if hi == lo:
            return found
        found.append((lo, hi))
        if hi == len(tokens):
            return found
        # What is shared must leave room for the next unit.
        next_lo, shared = hi, 0
        most = min(chunking.overlap, chunking.size - tokens[hi])
        while next_lo - 1 > lo and shared + tokens[next_lo - 1] <= most:
            next_lo -= 1
            shared += tokens[next_lo]
        lo = next_lo


def chunks(
    hits: Sequence[UnitHit],
    segments: Mapping[str, Segment],
    filenames: Mapping[str, str],
    strategies: Mapping[str, Chunking],
    limit: int,
) -> list[Passage]:
    """The chunks in which the hits lie, by their best hit, each chunk once.

    A file that has no strategy here is returned as ``auto``: around the best unit grows a chunk of
    up to ``AUTO_TOKENS``, each time by the better of its two neighbours; chunks do not overlap.
    With a strategy it is one of the file's ``tiles``, of several with the hit the one in which it
    lies most central. Ask the search for some ten times as many hits as chunks: many hits share
    one. Hits of files that are not in ``segments`` are left out.
    """
    fused = {(hit.file_id, hit.unit): hit.fused for hit in hits}
    shapes: dict[str, _Shape] = {}
    found: dict[tuple[str, int, int], list[UnitHit]] = {}
    for hit in hits:
        if len(found) == limit:  # the other hits count only where they lie in these chunks
            chunk = shapes[hit.file_id].known(hit.unit) if hit.file_id in shapes else None
            if chunk is not None:
                found.get((hit.file_id, *chunk), []).append(hit)
            continue
        if hit.file_id not in segments:
            continue
        if hit.file_id not in shapes:
            tokens = segments[hit.file_id].units[:, 2].tolist()
            strategy = strategies.get(hit.file_id)
            shapes[hit.file_id] = (
                _Grown(tokens, hit.file_id, fused) if strategy is None else _Tiled(tokens, strategy)
            )
        lo, hi = shapes[hit.file_id].around(hit.unit)
        found.setdefault((hit.file_id, lo, hi), []).append(hit)
    return [
        _passage(segments[file_id], filenames[file_id], lo, hi, inside)
        for (file_id, lo, hi), inside in found.items()
    ]


class _Shape(Protocol):
    def around(self, unit: int) -> tuple[int, int]:
        """The chunk ``range(lo, hi)`` that a unit is returned in. Asked best unit first."""
        ...

    def known(self, unit: int) -> tuple[int, int] | None:
        """The same without making a chunk for it."""
        ...


class _Tiled:
    def __init__(self, tokens: Sequence[int], chunking: Chunking) -> None:
        self._tiles = tiles(tokens, chunking)
        self._begins = [lo for lo, _ in self._tiles]
        self._ends = [hi for _, hi in self._tiles]

    def around(self, unit: int) -> tuple[int, int]:
        first, end = bisect_right(self._ends, unit), bisect_right(self._begins, unit)
        return min(self._tiles[first:end], key=lambda tile: abs(tile[0] + tile[1] - 1 - 2 * unit))

    def known(self, unit: int) -> tuple[int, int] | None:
        return self.around(unit)


class _Grown:
    """Chunks that grow around the best units, in rank order. A unit that no hit is about comes
    after those that were found."""

    def __init__(
        self, tokens: Sequence[int], file_id: str, fused: Mapping[tuple[str, int], float]
    ) -> None:
        self._tokens = tokens
        self._file_id = file_id
        self._fused = fused
        self._chunk_of: dict[int, tuple[int, int]] = {}

    def around(self, unit: int) -> tuple[int, int]:
        if unit not in self._chunk_of:
            lo, hi = self._grow(unit)
            self._chunk_of.update(dict.fromkeys(range(lo, hi), (lo, hi)))
        return self._chunk_of[unit]

    def known(self, unit: int) -> tuple[int, int] | None:
        return self._chunk_of.get(unit)

    def _grow(self, unit: int) -> tuple[int, int]:
        lo, hi, left = unit, unit + 1, AUTO_TOKENS - self._tokens[unit]
        while True:
            neighbours = [
                (self._fused.get((self._file_id, next_), -math.inf), next_)
                for next_ in (lo - 1, hi)
                if 0 <= next_ < len(self._tokens)
                and next_ not in self._chunk_of
                and self._tokens[next_] <= left
            ]
            if not neighbours:
                return lo, hi
            _, next_ = max(neighbours)
            left -= self._tokens[next_]
            lo, hi = min(lo, next_), max(hi, next_ + 1)


def passages(
    hits: Sequence[UnitHit],
    segments: Mapping[str, Segment],
    filenames: Mapping[str, str],
    budget_tokens: int,
    limit: int,
) -> list[Passage]:
    """Units in rank order up to the budget, neighbours as one passage, ordered by their best hit.

    The first unit is returned even if it exceeds the budget. At most ``limit`` passages.
    """
    taken: dict[str, dict[int, UnitHit]] = {}
    left, runs = budget_tokens, 0
    for hit in hits:
        if hit.file_id not in segments:
            continue
        units = taken.setdefault(hit.file_id, {})
        if hit.unit in units:
            continue
        left -= int(segments[hit.file_id].units[hit.unit, 2])
        runs += 1 - (hit.unit - 1 in units) - (hit.unit + 1 in units)
        if (left < 0 and runs > 0 and _count(taken) > 0) or runs > limit:
            break
        units[hit.unit] = hit
    order = {(hit.file_id, hit.unit): place for place, hit in reversed(list(enumerate(hits)))}
    found = []
    for file_id, units in taken.items():
        for lo, hi in _runs(sorted(units)):
            within = sorted(
                (units[unit] for unit in range(lo, hi)), key=lambda hit: order[file_id, hit.unit]
            )
            passage = _passage(segments[file_id], filenames[file_id], lo, hi, within)
            found.append((order[file_id, within[0].unit], passage))
    return [passage for _, passage in sorted(found, key=lambda pair: pair[0])]


def _count(taken: Mapping[str, Mapping[int, UnitHit]]) -> int:
    return sum(map(len, taken.values()))


def _runs(units: Sequence[int]) -> list[tuple[int, int]]:
    """Ascending numbers as ranges without gaps."""
    found: list[tuple[int, int]] = []
    for unit in units:
        if found and found[-1][1] == unit:
            found[-1] = (found[-1][0], unit + 1)
        else:
            found.append((unit, unit + 1))
    return found


def _passage(segment: Segment, filename: str, lo: int, hi: int, hits: Sequence[UnitHit]) -> Passage:
    """The text of units ``range(lo, hi)``; ``hits`` are best first."""
    start, end = int(segment.units[lo, 0]), int(segment.units[hi - 1, 1])
    best = hits[0]
    return Passage(
        file_id=best.file_id,
        filename=filename,
        start=start,
        end=end,
        text=segment.slice(start, end),
        score=best.score,
        place=segment.place_of(best.start),
        tokens=int(segment.units[lo:hi, 2].sum()),
        hits=tuple(hits),
        places=segment.places_in(start, end),
    )
