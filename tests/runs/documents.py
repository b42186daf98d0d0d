"""A library of a few texts, found by their words, and a store that names it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from localassist.retrieval.documents import Place
from localassist.retrieval.passages import Passage, ScoreParts, UnitHit
from localassist.runtime import Runtime
from localassist.services.library import Found
from localassist.storage import assistants, threads, vector_stores
from tests.runs.conftest import P, Talk

HOURS = "The museum opens at nine and closes at six. On Mondays it stays shut."
PRICES = "A ticket costs twelve euros. Children under ten enter without a ticket."
TEXTS = {"file-hours": HOURS, "file-prices": PRICES}


class FakeLibrary:
    """Every text is one passage; its score is the share of the query's words that it holds."""

    def __init__(self, texts: Mapping[str, str] = TEXTS) -> None:
        self.texts = dict(texts)
        self.asked: list[tuple[tuple[str, ...], tuple[str, ...], dict[str, Any]]] = []

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
        **more: Any,
    ) -> Found:
        options = {"limit": limit, "score_threshold": score_threshold, "form": form}
        self.asked.append((tuple(store_ids), tuple(queries), {**options, "budget": budget_tokens}))
        wanted = {word for query in queries for word in _words(query)}
        scored = sorted(
            (
                (len(wanted & _words(text)) / max(1, len(wanted)), name)
                for name, text in self.texts.items()
            ),
            reverse=True,
        )
        found = [_passage(n, self.texts[n], s) for s, n in scored if s > 0 and s >= score_threshold]
        return Found(tuple(queries), tuple(found[:limit]), {})


def _words(text: str) -> set[str]:
    return {word.strip(".,?!").lower() for word in text.split()} - {"the", "a", "does", "when"}


def _passage(file_id: str, text: str, score: float) -> Passage:
    parts = ScoreParts(score, score, score, 1.0, 1.0, 1.0)
    hit = UnitHit(file_id, 0, 0, len(text), score, score, parts)
    name = file_id.removeprefix("file-") + ".pdf"
    place = Place(0, len(text), page=3)
    found = Passage(file_id, name, 0, len(text), text, score, "page 3", len(text) // 4, (hit,))
    return replace(found, places=(place,))


def use_library(runtime: Runtime, library: FakeLibrary | None = None) -> FakeLibrary:
    """Put the fake in the place of what opens indexes."""
    library = library or FakeLibrary()
    runtime.runs._executor._loop._searcher._library = library  # type: ignore[assignment]
    return library


async def attach_store(talk: Talk, to: Literal["assistant", "thread"] = "assistant") -> str:
    """Give the assistant or the thread a vector store; returns its id."""

    def change(session: Any) -> str:
        store_id = vector_stores.insert(session, P, embedder_id="hashing", expires_after_days=1)
        fields = {"tool_resources": {"file_search": {"vector_store_ids": [store_id]}}}
        if to == "assistant":
            assistants.update(session, P, talk.assistant_id, fields)
        else:
            threads.update(session, P, talk.thread_id, fields)
        return store_id

    return await talk.runtime.runs._database.write(change)
