"""Searching vector stores: what is found, what is not any more, several stores at once."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from localassist import clock
from localassist.errors import IndexUnavailable, ResourceNotFound
from localassist.retrieval.embedders import HashingEmbedder
from localassist.services.searching import QUERY_STRETCHES, query_vectors
from localassist.storage import store_files, vector_stores
from localassist.storage.tables import DEFAULT_PROJECT as P
from tests.services.ingesting import Bench, bench


def story(topic: str, sentences: int = 40) -> str:
    return "\n\n".join(
        f"Sentence {n} tells of {topic} and of nothing else, in so many words."
        for n in range(sentences)
    )


async def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        empty = await b.store()
        found = await b.library.search(P, [empty, "vs_deleted"], ["anything"])
        assert (found.queries, found.passages, found.attributes) == (("anything",), (), {})
        assert (await b.library.search(P, [], ["anything"])).passages == ()
        expired = await b.store(expires_after_days=1)
        await b.add(expired, "anything goes")
        await b.done(expired)
        assert await b.find(expired, "anything")
        await b.database.write(lambda s: expire(s, expired))
        assert await b.find(expired, "anything") == []
        assert not b.stores.folder(empty).exists()


def expire(session: Any, store_id: str) -> None:
    vector_stores.find(session, P, store_id).last_active_at = clock.now() - 2 * 86_400


async def test_stores_of_other_projects_are_not_found(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        store = await b.store()
        file_id = await b.add(store, "a secret")
        await b.done(store)
        assert (await b.library.search("proj_other", [store], ["secret"])).passages == ()
        with pytest.raises(ResourceNotFound):
            await b.library.content("proj_other", store, file_id)


async def test_filters_choose_files_by_their_attributes(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        store = await b.store()
        old = await b.add(store, "the report of the year", attributes={"year": 1999})
        new = await b.add(store, "the report of the year, too", attributes={"year": 2024})
        await b.done(store)
        recent = {"type": "gt", "key": "year", "value": 2000}
        assert await b.find(store, "report", filters=recent) == [new]
        found = await b.library.search(P, [store], ["report"], filters=recent)
        assert found.attributes == {new: {"year": 2024}}
        await b.database.write(
            lambda s: store_files.set_attributes(s, P, store, old, {"year": 2025})
        )
        assert sorted(await b.find(store, "report", filters=recent)) == sorted([old, new])


async def test_a_file_is_returned_as_its_strategy_says(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        store = await b.store()
        static = {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0}
        small = await b.add(
            store, story("cats"), chunking_strategy={"type": "static", "static": static}
        )
        large = await b.add(store, story("dogs"))
        await b.done(store)
        found = await b.library.search(P, [store], ["cats", "dogs"], limit=50)
        tokens = {file_id: set[int]() for file_id in (small, large)}
        for passage in found.passages:
            tokens[passage.file_id].add(passage.tokens)
        assert max(tokens[small]) <= 100 < max(tokens[large]) <= 400
        scores = [passage.score for passage in found.passages]
        assert scores == sorted(scores, reverse=True) and 0 <= scores[-1] <= scores[0] <= 1


async def test_a_prompt_gets_no_more_than_its_budget(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        store = await b.store()
        await b.add(store, story("cats"))
        await b.done(store)
        wishes: dict[str, Any] = {"form": "passages", "budget_tokens": 200, "limit": 20}
        found = await b.library.search(P, [store], ["cats"], **wishes)
        assert 100 < sum(passage.tokens for passage in found.passages) <= 200
        none = await b.library.search(P, [store], ["cats"], score_threshold=1.0, **wishes)
        assert none.passages == ()


async def test_explained_hits_show_what_was_found_where(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        store = await b.store()
        file_id = await b.add(store, story("cats"), "cats.txt", attributes={"a": 1})
        await b.done(store)
        told = await b.library.explain(P, [store], ["cats sentence 7"], limit=3)
        assert told.queries == ("cats sentence 7",) and len(told.hits) == 3
        text = await b.library.content(P, store, file_id)
        for each in told.hits:
            hit = each.hit
            assert each.text == text[hit.start : hit.end]
            assert each.wide[0] <= each.near[0] <= hit.start < hit.end <= each.near[1]
            assert (each.filename, each.attributes) == ("cats.txt", {"a": 1})
            assert hit.parts.lexical > 0


async def test_stores_of_two_embedders_are_searched_together(tmp_path: Path) -> None:
    other = HashingEmbedder(dimensions=32)
    async with bench(tmp_path, embedders={"other": other}) as b:
        one, two = await b.store(), await b.store(embedder_id="other")
        first = await b.add(one, "cats and dogs")
        second = await b.add(two, "cats and birds")
        await b.attach(two, first)
        await b.done(one, two)
        found = await b.find([one, two], "cats")
        assert sorted(found) == sorted([first, second])
        assert (await b.find([one, two], "birds"))[0] == second


async def test_a_long_question_is_read_in_stretches() -> None:
    embedder = HashingEmbedder(max_tokens=10)
    seen: list[str] = []
    embed = embedder.embed

    async def spy(texts: Any) -> Any:
        seen.extend(texts)
        return await embed(texts)

    embedder.embed = spy  # type: ignore[method-assign]
    question = " ".join(f"word{n}" for n in range(95))
    vectors = await query_vectors(embedder, ["short", question])
    assert seen[0] == "short" and len(seen) == 1 + QUERY_STRETCHES
    assert "".join(seen[1:]) == question[: len("".join(seen[1:]))]
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert np.allclose(vectors[0], (await embed(["short"]))[0])


async def test_more_stores_than_stay_open(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        stores = [await b.store() for _ in range(7)]
        files = [await b.add(store, f"text {n}") for n, store in enumerate(stores)]
        await b.done(*stores)
        for _ in range(2):
            found = await asyncio.gather(*(b.find(store, "text") for store in stores))
            assert found == [[file_id] for file_id in files]
        assert sorted(await b.find(stores, "text")) == sorted(files)
        assert len(b.stores._open) <= 4


async def test_large_stores_give_their_memory_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localassist.services.library._HELD_UNITS", 1)
    async with bench(tmp_path) as b:
        stores = [await b.store() for _ in range(3)]
        for store in stores:
            await b.add(store, story("cats", 4))
        await b.done(*stores)
        for store in stores:
            assert await b.find(store, "cats")
            assert list(b.library._sources) == [store]


async def test_lost_content_is_left_out_and_made_anew(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        store = await b.store()
        file_id, other = await b.add(store, "the one text"), await b.add(store, "the other text")
        await b.done(store)
        for key in list(b.segments.keys()):
            if "one" in b.segments.get(key).text:  # type: ignore[union-attr]
                shutil.rmtree(tmp_path / "segments" / key[:2] / key)
        b.segments._open.clear()
        b.library._sources.clear()
        assert other in await b.find(store, "text")
        await b.done(store)
        assert sorted(await b.find(store, "text")) == sorted([file_id, other])


async def test_a_reader_says_that_an_index_is_damaged(tmp_path: Path) -> None:
    """Only the process that ingests may make it anew; that one does when it next looks."""
    async with bench(tmp_path) as b:
        store = await b.store()
        await b.add(store, "text")
        await b.done(store)
        damage(b, store)
        async with bench(tmp_path) as reader:
            with pytest.raises(IndexUnavailable):
                await reader.find(store, "text")
        await b.stores.drop(store)
        b.library._sources.clear()
        found = await asyncio.gather(*(b.find(store, "text") for _ in range(20)))
        assert all(len(ids) == 1 for ids in found)
        assert b.stores.folder(store).is_dir() and await b.ingest.wait_for([store], 0)


def damage(b: Bench, store_id: str) -> None:
    for path in b.stores.folder(store_id).rglob("meta.json"):
        path.write_text("{")
