"""The one way to search: opens the indexes of vector stores and asks them.

The rows say what is in a store; an index may hold more or, for a moment, less. Searches read the
rows first, so that a file that was removed is not found from that moment on. Knows nothing of how
units are ranked or put together (``retrieval.search``, ``retrieval.assemble``).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from localassist.errors import IndexUnavailable
from localassist.retrieval import assemble
from localassist.retrieval.embedders import Embedder
from localassist.retrieval.highlights import highlights
from localassist.retrieval.lexical import REACHES
from localassist.retrieval.passages import Passage, UnitHit
from localassist.retrieval.search import Source
from localassist.retrieval.segments import Segment, SegmentStore
from localassist.services.histogram import Histogram
from localassist.services.open_stores import OpenStores
from localassist.services.searching import (
    ContentLost,
    MemberSegments,
    Result,
    query_vectors,
    search_pools,
)
from localassist.storage import store_members
from localassist.storage.database import Database
from localassist.storage.store_members import Membership

if TYPE_CHECKING:
    from localassist.retrieval.embedders.base import Vectors

T = TypeVar("T")
_log = logging.getLogger(__name__)

_SEARCH_THREADS = 4
_MOST_HITS = 400
_TRIES = 3
# Units of all open stores together whose vectors stay in memory between searches: some 300 MB.
_HELD_UNITS = 200_000
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


@dataclass(frozen=True, slots=True)
class Found:
    """What a search returned, best first, and the queries it was made with."""

    queries: tuple[str, ...]
    passages: tuple[Passage, ...]
    attributes: Mapping[str, Mapping[str, Any]]
    """Of the files in ``passages``, by file id."""


@dataclass(frozen=True, slots=True)
class ExplainedHit:
    """A unit that was found, with what there is to see of it. ``near`` and ``wide`` are the code
    points of its windows in the file's text, ``highlights`` those of the queries' words in
    ``text``."""

    hit: UnitHit
    filename: str
    text: str
    place: str
    near: tuple[int, int]
    wide: tuple[int, int]
    attributes: Mapping[str, Any]
    highlights: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The units behind a search, best first, and the queries it was made with."""

    queries: tuple[str, ...]
    hits: tuple[ExplainedHit, ...]


class Repair(Protocol):
    """Who makes lost content anew: ``Ingest``."""

    async def put_back(self, store_id: str, file_ids: Collection[str]) -> None:
        """Ingest files of the store again, because their content was lost."""
        ...

    async def rebuild(self, store_id: str) -> bool:
        """Make the store's damaged index anew; False when another process must."""
        ...


class Library:
    """Vector stores, open for search. ``embedder`` gives the embedding model of an id."""

    def __init__(
        self,
        database: Database,
        segments: SegmentStore,
        stores: OpenStores,
        embedder: Callable[[str], Awaitable[Embedder]],
        repair: Repair,
        *,
        keep: int,
    ) -> None:
        self._database = database
        self._segments = segments
        self._stores = stores
        self._embedder = embedder
        self._repair = repair
        self._keep = keep
        self._known: OrderedDict[str, Membership] = OrderedDict()
        self._sources: dict[str, tuple[int, Source]] = {}
        self._threads = ThreadPoolExecutor(_SEARCH_THREADS, thread_name_prefix="search")
        self.seconds = Histogram(_SECONDS)

    async def search(
        self,
        project: str,
        store_ids: Sequence[str],
        queries: Sequence[str],
        *,
        limit: int = 10,
        score_threshold: float = 0.0,
        filters: Mapping[str, Any] | None = None,
        form: Literal["chunks", "passages"] = "chunks",
        budget_tokens: int | None = None,
    ) -> Found:
        """Search the stores together; stores that were deleted or have expired count as empty.

        ``form`` ``chunks`` returns what each file's chunking strategy makes of it; ``passages``
        returns units in rank order, neighbours merged, up to ``budget_tokens``.
        ``filters`` is the wire form of the API's comparison and compound filters. Of a query
        that is longer than the embedder's window, four windows are read. Raises IndexUnavailable.
        """

        def passages(result: Result) -> list[Passage]:
            hits = [hit for hit in result.hits if hit.score >= score_threshold]
            members = {file_id: result.files[file_id] for file_id in result.segments}
            names = {file_id: member.filename for file_id, member in members.items()}
            if form == "passages":
                budget = 2**31 if budget_tokens is None else budget_tokens
                return assemble.passages(hits, result.segments, names, budget, limit)
            strategies = {
                file_id: assemble.Chunking(member.chunk_tokens, member.chunk_overlap_tokens or 0)
                for file_id, member in members.items()
                if member.chunk_tokens is not None
            }
            return assemble.chunks(hits, result.segments, names, strategies, limit)

        begun = time.perf_counter()
        found, result = await self._find(project, store_ids, queries, filters, _MOST_HITS, passages)
        self.seconds.observe(time.perf_counter() - begun)
        attributes = {p.file_id: result.files[p.file_id].attributes for p in found}
        return Found(tuple(queries), tuple(found), attributes)

    async def explain(
        self,
        project: str,
        store_ids: Sequence[str],
        queries: Sequence[str],
        *,
        limit: int = 10,
        score_threshold: float = 0.0,
        filters: Mapping[str, Any] | None = None,
    ) -> Explanation:
        """The units that a search with these arguments is made of, with the parts of their
        scores. Raises IndexUnavailable."""

        def explained(result: Result) -> list[ExplainedHit]:
            wanted = [hit for hit in result.hits if hit.score >= score_threshold][:limit]
            return [_explained(hit, result, queries) for hit in wanted]

        hits, _ = await self._find(project, store_ids, queries, filters, limit, explained)
        return Explanation(tuple(queries), tuple(hits))

    async def content(self, project: str, store_id: str, file_id: str) -> str:
        """The text that was read from a file in a store; empty unless it is completed. Raises
        ResourceNotFound."""
        key = await self._database.read(
            lambda session: store_members.segment_key(session, project, store_id, file_id)
        )
        if key is None:
            return ""

        def read() -> str | None:
            segment = self._segments.get(key)
            return None if segment is None else segment.text

        text = await asyncio.to_thread(read)
        if text is None:
            await self._repair.put_back(store_id, [file_id])
        return text or ""

    def close(self) -> None:
        self._threads.shutdown()

    async def _find(
        self,
        project: str,
        store_ids: Sequence[str],
        queries: Sequence[str],
        filters: Mapping[str, Any] | None,
        limit: int,
        finish: Callable[[Result], list[T]],
    ) -> tuple[list[T], Result]:
        """Search, and let ``finish`` make something of the hits, in a thread. Content that turns
        out to be lost is left out and made anew in the background."""
        for tries in range(1, _TRIES + 1):
            memberships = await self._look(project, store_ids)
            vectors = await self._embed(memberships, queries)
            ask = partial(
                search_pools,
                memberships,
                vectors=vectors,
                queries=queries,
                filters=filters,
                limit=limit,
            )
            try:
                return await self._ask(memberships, vectors, ask, finish)
            except (ContentLost, IndexUnavailable) as problem:
                await self._heal(memberships, problem, tries)
        raise AssertionError("the last try returns or raises")

    async def _ask(
        self,
        memberships: Sequence[Membership],
        vectors: Mapping[str, Vectors],
        ask: Callable[[Mapping[str, Sequence[Source]]], Result],
        finish: Callable[[Result], list[T]],
    ) -> tuple[list[T], Result]:
        """Do the blocking part in a thread while the indexes are held open."""

        def work(pools: Mapping[str, Sequence[Source]]) -> tuple[list[T], Result]:
            result = ask(pools)
            return finish(result), result

        async with AsyncExitStack() as leases:
            pools: dict[str, list[Source]] = {}
            for each in memberships:
                source = await self._source(leases, each, vectors[each.embedder_id].shape[1])
                pools.setdefault(each.embedder_id, []).append(source)
            asked = asyncio.get_running_loop().run_in_executor(self._threads, work, pools)
            try:
                return await asyncio.shield(asked)
            except asyncio.CancelledError:
                await asyncio.wait({asked})  # the thread still uses the indexes
                raise

    async def _look(self, project: str, store_ids: Sequence[str]) -> list[Membership]:
        """The stores that have anything to search, as they are now."""
        known = dict(self._known)
        found = await self._database.read(
            lambda session: store_members.look(session, project, store_ids, known)
        )
        for membership in found:
            self._known[membership.store_id] = membership
            self._known.move_to_end(membership.store_id)
        while len(self._known) > max(self._keep, len(found)):
            oldest, _ = self._known.popitem(last=False)
            self._sources.pop(oldest, None)
        return [membership for membership in found if membership.files]

    async def _source(
        self, leases: AsyncExitStack, membership: Membership, dimensions: int
    ) -> Source:
        store_id, version = membership.store_id, membership.version
        index = await leases.enter_async_context(self._stores.lease(store_id, dimensions, version))
        known = self._sources.get(store_id)
        if known is not None and known[0] == version and known[1].index is index:
            return known[1]
        keys = {file_id: member.segment_key for file_id, member in membership.files.items()}
        source = Source(index, MemberSegments(self._segments, keys))
        if store_id in self._known:
            self._sources[store_id] = version, source
            self._trim()
        return source

    def _trim(self) -> None:
        """Let go of vectors in memory, of the stores first that were not searched for longest."""
        units = {
            store_id: sum(self._sources[store_id][1].index.lexical.units.values())
            for store_id in self._known
            if store_id in self._sources
        }
        total = sum(units.values())
        for store_id, count in list(units.items())[:-1]:
            if total > _HELD_UNITS:
                del self._sources[store_id]
                total -= count

    async def _embed(
        self, memberships: Sequence[Membership], queries: Sequence[str]
    ) -> dict[str, Vectors]:
        """The queries' vectors for every embedder that the stores need."""
        found = {}
        for embedder_id in dict.fromkeys(each.embedder_id for each in memberships):
            found[embedder_id] = await query_vectors(await self._embedder(embedder_id), queries)
        return found

    async def _heal(
        self,
        memberships: Sequence[Membership],
        problem: ContentLost | IndexUnavailable,
        tries: int,
    ) -> None:
        """Have made anew what a search found to be lost or damaged. An index that fails is first
        opened again: the second failure in a row is its own fault. Raises IndexUnavailable when the
        search cannot go on."""
        if isinstance(problem, ContentLost):
            for each in memberships:
                if problem.file_id in each.files:
                    _log.warning("file %s has lost its content: queued again", problem.file_id)
                    await self._repair.put_back(each.store_id, [problem.file_id])
            if tries == _TRIES:
                raise IndexUnavailable("The content of several files was lost and is made anew.")
        elif tries == _TRIES:
            raise problem
        elif tries > 1:
            _log.warning("search failed, indexes are made anew: %s", problem.message)
            for each in memberships:
                if not await self._repair.rebuild(each.store_id):
                    raise problem


def _explained(hit: UnitHit, result: Result, queries: Sequence[str]) -> ExplainedHit:
    segment = result.segments[hit.file_id]
    text = segment.unit_text(hit.unit)
    member = result.files[hit.file_id]
    near, wide = (_stretch(segment, hit.unit, reach) for reach in REACHES[1:])
    return ExplainedHit(
        hit,
        member.filename,
        text,
        segment.place_of(hit.start),
        near,
        wide,
        member.attributes,
        tuple(highlights(text, queries, segment.language)),
    )


def _stretch(segment: Segment, unit: int, reach: int) -> tuple[int, int]:
    lo, hi = segment.window(unit, reach)
    return int(segment.units[lo, 0]), int(segment.units[hi - 1, 1])
