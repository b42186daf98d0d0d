"""One search over several vector stores, as far as it needs no database: vectors of queries,
segments read when needed, stores pooled. The blocking part of ``library``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localassist.retrieval.embedders import Embedder
from localassist.retrieval.filters import matches
from localassist.retrieval.passages import UnitHit
from localassist.retrieval.search import Query, Source, search
from localassist.retrieval.segments import Segment, SegmentStore
from localassist.storage.store_files import Member
from localassist.storage.store_members import Membership

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from localassist.retrieval.embedders.base import Vectors

QUERY_STRETCHES = 4
"""Of a query that is longer than the embedder's window, so many windows are read."""


class ContentLost(Exception):
    """The segment of a file has gone or is damaged."""

    def __init__(self, file_id: str) -> None:
        super().__init__(file_id)
        self.file_id = file_id


class MemberSegments(Mapping[str, Segment]):
    """The segments of a store's files, read when they are needed. Raises ContentLost."""

    def __init__(self, segments: SegmentStore, keys: Mapping[str, str]) -> None:
        """``keys`` are the segments' keys by file id."""
        self._segments = segments
        self._keys = keys

    def __getitem__(self, file_id: str) -> Segment:
        segment = self._segments.get(self._keys[file_id])
        if segment is None:
            raise ContentLost(file_id)
        return segment

    def __contains__(self, file_id: object) -> bool:
        return file_id in self._keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


class _HitSegments(Mapping[str, Segment]):
    """The segments of files that were found, read when they are needed. Raises ContentLost."""

    def __init__(self, holders: Mapping[str, Mapping[str, Segment]]) -> None:
        """``holders`` are the members of the store in which each file was found."""
        self._holders = holders

    def __getitem__(self, file_id: str) -> Segment:
        return self._holders[file_id][file_id]

    def __contains__(self, file_id: object) -> bool:
        return file_id in self._holders

    def __iter__(self) -> Iterator[str]:
        return iter(self._holders)

    def __len__(self) -> int:
        return len(self._holders)


@dataclass(frozen=True, slots=True)
class Result:
    """Hits over all stores, best first; the segments in which they lie and the stores' files, by
    file id. What is read of the segments is read from disk: in a worker thread, too."""

    hits: list[UnitHit]
    segments: Mapping[str, Segment]
    files: Mapping[str, Member]


async def query_vectors(embedder: Embedder, queries: Sequence[str]) -> Vectors:
    """One vector of length 1 per query: float32 [n, d]. A long query has the mean of its windows,
    the first ``QUERY_STRETCHES`` of them."""
    import numpy as np

    texts: list[str] = []
    owners: list[int] = []
    for number, query in enumerate(queries):
        for stretch in _stretches(embedder, query):
            texts.append(stretch)
            owners.append(number)
    vectors = await embedder.embed(texts)
    sums = np.zeros((len(queries), vectors.shape[1]), dtype=np.float32)
    np.add.at(sums, owners, vectors)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    sums /= np.maximum(lengths, np.finfo(np.float32).tiny)
    return sums


def search_pools(
    memberships: Sequence[Membership],
    pools: Mapping[str, Sequence[Source]],
    vectors: Mapping[str, NDArray[np.float32]],
    queries: Sequence[str],
    filters: Mapping[str, Any] | None,
    limit: int,
) -> Result:
    """Search all stores. ``pools`` and ``vectors`` are by embedder: stores with the same one are
    searched together, others apart, because vectors of different models cannot be compared, and
    their hits merged by score. A file in several stores is found once. Blocks. Raises ContentLost
    and IndexUnavailable."""
    files, allowed = _allowed(memberships, filters)
    hits: list[UnitHit] = []
    holders: dict[str, Mapping[str, Segment]] = {}
    taken: set[str] = set()  # files that were searched with another embedder
    for embedder_id, sources in pools.items():
        asked = [Query(*pair) for pair in zip(queries, vectors[embedder_id], strict=True)]
        only = allowed
        if taken:
            only = (files.keys() if allowed is None else allowed) - taken
        if len(pools) > 1:
            taken.update(*(source.file_ids for source in sources))
        found = search(sources, asked, limit=limit, allowed=only)
        for file_id in dict.fromkeys(hit.file_id for hit in found):
            holders[file_id] = next(s.members for s in sources if file_id in s.members)
        hits += found
    if len(pools) > 1:
        hits = sorted(hits, key=lambda hit: -hit.score)[:limit]
    return Result(hits, _HitSegments(holders), files)


def _allowed(
    memberships: Sequence[Membership], filters: Mapping[str, Any] | None
) -> tuple[Mapping[str, Member], set[str] | None]:
    """The files of all stores, and which of them the filters let through; None for all of them. A
    file that is in several stores needs to be let through in one."""
    if filters is None:
        if len(memberships) == 1:  # not copied: there may be very many
            return memberships[0].files, None
        every = (membership.files for membership in reversed(memberships))
        return {file_id: member for each in every for file_id, member in each.items()}, None
    files: dict[str, Member] = {}
    allowed: set[str] = set()
    for membership in memberships:
        for file_id, member in membership.files.items():
            passes = matches(filters, member.attributes)
            if file_id not in files or (passes and file_id not in allowed):
                files[file_id] = member
            if passes:
                allowed.add(file_id)
    return files, allowed


def _stretches(embedder: Embedder, query: str) -> list[str]:
    starts = embedder.token_starts(query)
    room = embedder.max_tokens
    if len(starts) <= room:
        return [query]
    cuts = [*starts[::room].tolist(), len(query)][: QUERY_STRETCHES + 1]
    return [query[begin:end] for begin, end in zip(cuts, cuts[1:], strict=False)]
