"""Searches of a run: where they look, what they found, and how that is stored.

A search is stored whole with the thread's items, because later turns of the run cite from it, also
when another process makes them. Knows nothing of models or of the event log.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from typing import Any, ClassVar

from localassist import clock
from localassist.core import ToolCall
from localassist.observability import spans
from localassist.observability.timeline import FILES
from localassist.retrieval.documents import Place
from localassist.retrieval.passages import Passage, ScoreParts, UnitHit
from localassist.runs.config import RunSettings
from localassist.schemas.run_steps import (
    FileSearchOutcome,
    FileSearchResult,
    FileSearchToolCall,
    ResultContent,
    StepRankingOptions,
)
from localassist.schemas.runs import Run
from localassist.services.library import Found, Library
from localassist.storage import ingest_queue, vector_stores
from localassist.storage.database import Database, Session
from localassist.storage.items import Item
from localassist.tools.base import SearchOptions
from localassist.tools.file_search import Result, number, render
from localassist.tools.file_search.results import source_of

FILE_SEARCH = "file_search"

WaitForFiles = Callable[[Sequence[str], float], Awaitable[object]]
"""Until no file of these vector stores is in progress, at most so many seconds."""


@dataclass(frozen=True, slots=True)
class Stores:
    """Ids of the vector stores a run searches together. ``waits_until`` is how long it waits for
    their files, on the monotonic clock."""

    of_assistant: tuple[str, ...] = ()
    of_thread: tuple[str, ...] = ()
    waits_until: float = 0.0

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.of_assistant, *self.of_thread)))


@dataclass(frozen=True, slots=True)
class Search:
    """A search that was made: its queries, and what it found, best first. ``unread`` files of the
    stores could not be searched yet."""

    queries: tuple[str, ...]
    results: tuple[Result, ...]
    score_threshold: float = 0.0
    unread: int = 0

    tool: ClassVar[str] = FILE_SEARCH

    def step_call(self, call_id: str) -> dict[str, Any]:
        """The call as a run step shows it."""
        found = [
            FileSearchResult(
                file_id=result.passage.file_id,
                file_name=result.passage.filename,
                score=result.passage.score,
                content=[ResultContent(text=result.passage.text)],
                place=result.passage.place or None,
            )
            for result in self.results
        ]
        ranking = StepRankingOptions(score_threshold=self.score_threshold)
        outcome = FileSearchOutcome(ranking_options=ranking, results=found)
        return FileSearchToolCall(id=call_id, file_search=outcome).dump()

    def payload(self) -> dict[str, Any]:
        """The search as its output item keeps it."""
        return {
            "queries": list(self.queries),
            "results": [_dumped(result) for result in self.results],
            "unread": self.unread,
        }


def evidence_of(searches: Sequence[Search]) -> dict[str, Any]:
    """What was looked for and found where, for people; empty without searches."""
    if not searches:
        return {}
    found = [
        [source_of(result.passage), round(result.passage.score, 2)]
        for search in searches
        for result in search.results
    ]
    return {"queries": [query for search in searches for query in search.queries], "found": found}


def queries_in(call: ToolCall) -> list[str]:
    """The queries that a model has written; its grammar has seen to their form."""
    wanted = json.loads(call.arguments)["queries"]
    return [query for query in wanted if query.strip()]


def found_text(payload: Mapping[str, Any]) -> str:
    """What the model is shown of a search."""
    return render([_loaded(entry) for entry in payload["results"]], payload["unread"])


def found_by(items: Sequence[Item], run_id: str) -> Search | None:
    """All searches of the run so far as one; None when it has made none."""
    searches = [
        item.payload
        for item in items
        if item.kind == "output"
        and item.run_id == run_id
        and item.payload.get("built_in") == FILE_SEARCH
    ]
    if not searches:
        return None
    queries = [query for payload in searches for query in payload["queries"]]
    results = [_loaded(entry) for payload in searches for entry in payload["results"]]
    unread = searches[-1]["unread"]
    return Search(tuple(dict.fromkeys(queries)), tuple(results), unread=unread)


def _dumped(result: Result) -> dict[str, Any]:
    """Units without names: there are hundreds."""
    hits = [
        [hit.unit, hit.start, hit.end, hit.fused, hit.score, *astuple(hit.parts)]
        for hit in result.passage.hits
    ]
    passage = asdict(replace(result.passage, hits=()))
    return {"marker": result.marker, **passage, "hits": hits}


def _loaded(entry: Mapping[str, Any]) -> Result:
    fields = {**entry}
    marker, hits, file_id = fields.pop("marker"), fields.pop("hits"), fields["file_id"]
    places = tuple(Place(**place) for place in fields.pop("places"))
    units = tuple(
        UnitHit(file_id, unit, start, end, fused, score, ScoreParts(*parts))
        for unit, start, end, fused, score, *parts in hits
    )
    return Result(marker, Passage(**fields, hits=units, places=places))


def stores_of(
    session: Session,
    project: str,
    assistant_id: str,
    thread_id: str,
    own: Mapping[str, Any],
) -> Stores:
    """The stores of a run with these tool resources of its own, which come in place of its
    assistant's. Those that were deleted are left out."""
    if "file_search" in own:
        named = vector_stores.existing(session, project, vector_stores.attached_ids(own))
    else:
        named = vector_stores.store_ids_of(session, project, assistant_id, None)
    of_thread = vector_stores.store_ids_of(session, project, None, thread_id)
    return Stores(tuple(named), tuple(of_thread))


class Searcher:
    """Makes the searches of runs; one instance serves all of a process."""

    def __init__(
        self,
        database: Database,
        library: Library,
        wait_for_files: WaitForFiles,
        settings: RunSettings,
    ) -> None:
        self._database = database
        self._library = library
        self._wait_for_files = wait_for_files
        self._settings = settings

    async def stores(self, project: str, run: Run) -> Stores:
        """Where the run may look, once the files that are new on its thread can be searched or
        patience has ended. An assistant's files are only waited for here when they came the way of
        version 1."""
        until = time.monotonic() + self._settings.file_wait_seconds
        own = run.tool_resources.dump()
        found = await self._database.read(
            lambda session: stores_of(session, project, run.assistant_id, run.thread_id, own)
        )
        # Callers of version 1 cannot see whether an assistant's files are ready.
        waited = found.ids if run.file_ids else found.of_thread
        if waited:
            with spans.measured(FILES):
                await self._wait_for_files(waited, self._settings.file_wait_seconds)
        return replace(found, waits_until=until)

    async def search(
        self,
        project: str,
        stores: Stores,
        queries: Sequence[str],
        options: SearchOptions,
        *,
        ordinal: int,
        context_tokens: int,
    ) -> Search:
        """What the stores hold about the queries, for a prompt of at most so many tokens.
        ``ordinal`` is the number of the search in its thread; markers begin with it.

        Files that are still being read are waited for when nothing relevant is found without them
        and they are new: a store that is being filled holds up no question that it can answer, and
        the others not for long.
        """
        share = int(context_tokens * self._settings.passages_share)

        async def look() -> tuple[Found, int, int]:
            # Counted first: what is read meanwhile may have been missed.
            unread, newest = await self._database.read(
                lambda session: ingest_queue.unread(session, stores.ids)
            )
            found = await self._library.search(
                project,
                stores.ids,
                queries,
                limit=options.max_results,
                score_threshold=options.score_threshold,
                form="passages",
                budget_tokens=min(share, self._settings.passages_tokens),
            )
            return found, unread, newest

        found, unread, newest = await look()
        left = min(
            stores.waits_until - time.monotonic(),
            newest + self._settings.file_wait_seconds - clock.now(),
        )
        if unread and left > 0 and not self._is_relevant(found):
            await self._wait_for_files(stores.ids, left)
            found, unread, _ = await look()
        results = tuple(number(found.passages, ordinal))
        return Search(found.queries, results, options.score_threshold, unread)

    def _is_relevant(self, found: Found) -> bool:
        best = max((passage.score for passage in found.passages), default=0.0)
        return best >= self._settings.relevance_score
