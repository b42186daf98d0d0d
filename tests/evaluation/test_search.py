"""The two kinds of search that are compared, and the cache of vectors beneath them."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.evaluation.bm25 import K1, B, Bm25
from localassist.evaluation.chunk_search import ChunkSearch
from localassist.evaluation.corpus import Document
from localassist.evaluation.measure import Ranking
from localassist.evaluation.spans import Span, merged, total
from localassist.evaluation.unit_search import UnitSearch
from localassist.evaluation.vectors import CachedEmbedder
from localassist.retrieval.assemble import passages
from localassist.retrieval.documents import ParsedDocument
from localassist.retrieval.embedders import HashingEmbedder
from localassist.retrieval.search import Query, Source, search

WORDS = st.lists(st.sampled_from("abcd"), max_size=6)
EVEN = (1.0,) * 6


def naive_bm25(texts: Sequence[Sequence[str]], query: Sequence[str]) -> list[float]:
    mean = sum(map(len, texts)) / len(texts) or 1.0
    scores = []
    for text in texts:
        score = 0.0
        for word in query:
            holders = sum(word in other for other in texts)
            idf = math.log(1 + (len(texts) - holders + 0.5) / (holders + 0.5))
            count = text.count(word)
            score += idf * count / (count + K1 * (1 - B + B * len(text) / mean))
        scores.append(score)
    return scores


@given(st.lists(WORDS, min_size=1, max_size=6), WORDS)
def test_bm25_is_its_formula(texts: list[list[str]], query: list[str]) -> None:
    assert Bm25(texts).scores(query) == pytest.approx(naive_bm25(texts, query))


def test_chunks_are_ranked_by_what_is_asked_for() -> None:
    chunks = [Span("d", 0, 1), Span("d", 1, 2), Span("d", 2, 3)]
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    words = [["x"], ["y"], ["x", "x"]]
    found = ChunkSearch(chunks, vectors, words)
    vector = np.array([1, 0], np.float32)

    def order(ranking: Ranking) -> list[int]:
        return [span.start for span in ranking.results]

    assert order(found.rank(vector, ["y"], 1, 0, 3)) == [0, 2, 1]
    assert order(found.rank(vector, ["y"], 0, 1, 3)) == [1, 0, 2]
    assert order(found.rank(vector, ["x"], 1, 1, 2)) == [0, 2]


class Counting(HashingEmbedder):
    """Counts the texts it embeds."""

    def __init__(self) -> None:
        super().__init__()
        self.embedded: list[str] = []

    async def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.embedded += texts
        return await super().embed(texts)


async def test_every_text_is_embedded_once_also_the_next_time(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "vectors.npz"
    first = Counting()
    cached = CachedEmbedder(first, path)
    vectors = await cached.embed(["a b", "c", "a b"])
    assert (await cached.embed(["c"]))[0].tolist() == vectors[1].tolist()
    assert first.embedded == ["a b", "c"]
    cached.close()
    second = Counting()
    again = CachedEmbedder(second, path)
    assert np.array_equal(await again.embed(["a b", "c", "a b"]), vectors)
    assert second.embedded == [] and (await again.embed([])).shape == (0, again.dimensions)


@pytest.mark.parametrize("kept", [0, 10, 200])
async def test_a_damaged_cache_is_made_anew(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "vectors.npz"
    cached = CachedEmbedder(Counting(), path)
    await cached.embed(["a"])
    cached.save()
    path.write_bytes(path.read_bytes()[:kept])
    counting = Counting()
    await CachedEmbedder(counting, path).embed(["a"])
    assert counting.embedded == ["a"]


async def test_vectors_of_another_length_are_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "vectors.npz"
    cached = CachedEmbedder(HashingEmbedder(8), path)
    await cached.embed(["a"])
    cached.save()
    assert (await CachedEmbedder(HashingEmbedder(16), path).embed(["a"])).shape == (1, 16)


ANIMALS = {
    "cats.md": "Cats sleep all day. " * 30
    + "A cat drinks milk from a blue bowl. "
    + "They purr. " * 40,
    "dogs.md": "Dogs bark at night. " * 30
    + "A dog buries bones in the garden. "
    + "They dig. " * 40,
}


async def built(folder: Path, unit_tokens: int = 20) -> tuple[UnitSearch, CachedEmbedder]:
    documents = [Document(name, ParsedDocument(text)) for name, text in ANIMALS.items()]
    embedder = CachedEmbedder(HashingEmbedder(), folder / "vectors.npz")
    found = await UnitSearch.build(
        documents, embedder, unit_tokens, folder / "index", lambda done, units: None
    )
    return found, embedder


async def test_units_are_what_the_search_of_vector_stores_finds(tmp_path: Path) -> None:
    found, embedder = await built(tmp_path)
    question = "Where does a dog bury bones?"
    (vector,) = await embedder.embed([question])
    ranking = found.rank(question, vector, EVEN, 10, 3)
    source = Source(found._index, found._segments)
    hits = search([source], [Query(question, vector)], limit=10)
    assert ranking.pieces == [Span(hit.file_id, hit.start, hit.end) for hit in hits]
    text = ANIMALS["dogs.md"]
    assert "buries bones" in text[ranking.pieces[0].start : ranking.pieces[0].end]
    assert [span.document for span in ranking.results] == ["dogs.md", "cats.md"]
    assert ranking.results[0].start <= ranking.pieces[0].start
    names = {name: name for name in ANIMALS}
    filled = passages(hits, found._segments, names, 10_000, 100)
    prompt = [Span(passage.file_id, passage.start, passage.end) for passage in filled]
    # A prompt is filled with the same units; merged, it also has the white space between them.
    assert 0 <= total(merged(prompt)) - total(merged(ranking.pieces)) <= len(hits)
    found.close()


async def test_weights_rank_the_same_pool_anew(tmp_path: Path) -> None:
    found, embedder = await built(tmp_path)
    question = "milk bowl"
    (vector,) = await embedder.embed([question])
    every = found.rank(question, vector, EVEN, 1_000, 1).pieces
    dense = found.rank(question, vector, (1, 0, 0, 0, 0, 0), 1_000, 1).pieces
    assert sorted(every) == sorted(dense) and len(every) == found.units
    texts = [ANIMALS[span.document][span.start : span.end] for span in dense]
    cosines = (await embedder.embed(texts)) @ vector
    assert np.all(np.diff(cosines) <= 1e-6)
    found.close()


async def test_units_are_as_large_as_asked_for(tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "large").mkdir()
    small, _ = await built(tmp_path / "small", 10)
    large, _ = await built(tmp_path / "large", 40)
    assert small.units > 2 * large.units
