from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.errors import ModelLoadFailed
from localassist.registry import Catalog
from localassist.retrieval.embedders import HashingEmbedder, SentenceEmbedder
from localassist.retrieval.embedders.batches import BatchQueue


async def test_hashed_words_make_similar_texts_close() -> None:
    embedder = HashingEmbedder()
    vectors = await embedder.embed(["red frog", "a red frog", "tax return form", ""])
    a, b, c, _ = vectors
    assert a @ b > a @ c
    assert vectors.dtype == np.float32 and vectors.shape == (4, embedder.dimensions)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-6)


@given(st.text())
def test_hashed_tokens_stand_where_they_begin(text: str) -> None:
    starts = HashingEmbedder().token_starts(text)
    assert all(not text[start].isspace() for start in starts)
    assert (np.diff(starts) > 0).all()


class Recorder:
    """A model whose texts are numbers; ``gate`` holds its batches up."""

    def __init__(self, **limits: int) -> None:
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.started = threading.Event()
        sizes = {"batch_items": 4, "batch_length": 1000} | limits
        self.queue = BatchQueue(self._forward, 1, **sizes)

    def _forward(self, texts: list[str]) -> np.ndarray:
        self.started.set()
        assert self.gate.wait(10)
        self.batches.append(texts)
        if "bad" in texts:
            raise ValueError("no number")
        return np.array([[float(text)] for text in texts], dtype=np.float32)


async def test_results_keep_their_order_though_batches_are_of_like_lengths() -> None:
    model = Recorder()
    model.gate.set()
    texts = [str(10**n) for n in (3, 0, 5, 1, 4, 2)]
    found = await model.queue.run(texts)
    assert found[:, 0].tolist() == [float(text) for text in texts]
    assert [list(map(len, batch)) for batch in model.batches] == [[1, 2, 3, 4], [5, 6]]
    model.queue.close()


async def test_a_batch_is_limited_by_its_padded_length() -> None:
    model = Recorder(batch_length=6)
    model.gate.set()
    await model.queue.run(["1", "11", "111", "1111", "11111111"])
    assert [list(map(len, batch)) for batch in model.batches] == [[1, 2], [3], [4], [8]]
    model.queue.close()


async def test_a_question_overtakes_a_file_and_does_not_starve_it() -> None:
    model = Recorder(batch_items=1)
    file = asyncio.create_task(model.queue.run(["1"] * 40))
    await asyncio.to_thread(model.started.wait, 10)
    questions = [asyncio.create_task(model.queue.run([str(n)])) for n in range(2, 14)]
    await asyncio.sleep(0.01)
    model.gate.set()
    await asyncio.gather(file, *questions)
    before_last_question = model.batches[: model.batches.index(["13"])]
    ours = [batch for batch in before_last_question if batch == ["1"]]
    assert len(before_last_question) - len(ours) == 11  # all the other questions
    assert 1 < len(ours) <= 6
    model.queue.close()


async def test_an_error_reaches_its_caller_only() -> None:
    model = Recorder()
    model.gate.set()
    good, bad = model.queue.run(["1"]), model.queue.run(["2", "bad"])
    found = await asyncio.gather(good, bad, return_exceptions=True)
    assert isinstance(found[0], np.ndarray) and isinstance(found[1], ValueError)
    assert (await model.queue.run(["3"])).tolist() == [[3.0]]
    assert (await model.queue.run([])).shape == (0, 1)
    model.queue.close()


async def test_a_cancelled_job_is_not_worked_on() -> None:
    model = Recorder(batch_items=1)
    file = asyncio.create_task(model.queue.run(["1"] * 1000))
    await asyncio.to_thread(model.started.wait, 10)
    file.cancel()
    await asyncio.gather(file, return_exceptions=True)
    model.gate.set()
    await model.queue.run(["2"])
    assert len(model.batches) <= 3
    model.queue.close()


async def test_closing_cancels_what_is_open() -> None:
    model = Recorder(batch_items=1)
    file = asyncio.create_task(model.queue.run(["1"] * 1000))
    await asyncio.to_thread(model.started.wait, 10)
    model.gate.set()
    await asyncio.to_thread(model.queue.close)
    with pytest.raises(asyncio.CancelledError):
        await file
    with pytest.raises(RuntimeError, match="closed"):
        await model.queue.run(["1"])


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    catalog = Catalog(tmp_path_factory.mktemp("home"))
    return catalog.locate(catalog.default("embedding"))


@pytest.fixture
async def embedder(model_folder: Path) -> AsyncIterator[SentenceEmbedder]:
    loaded = await SentenceEmbedder.load(model_folder)
    yield loaded
    loaded.close()


@pytest.mark.model
async def test_the_embedded_model_tells_meanings_apart(embedder: SentenceEmbedder) -> None:
    texts = ["How is the weather in Paris?", "Is it raining in France?", "Compute 5 factorial."]
    vectors = await embedder.embed(texts)
    weather, rain, factorial = vectors
    assert vectors.dtype == np.float32 and vectors.shape == (3, 384) == (3, embedder.dimensions)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)
    assert weather @ rain > 0.4 > weather @ factorial
    assert await embedder.count_tokens(["Hello world"]) == 4  # two words, begin and end
    assert await embedder.count_tokens(["a " * 1000]) == embedder.max_tokens + 2


@pytest.mark.model
async def test_tokens_of_long_texts_and_of_broken_ones(embedder: SentenceEmbedder) -> None:
    assert embedder.token_starts("Hello  wörld!").tolist() == [0, 7, 12]
    words = embedder.token_starts("word " * 50_000)  # longer than the tokenizer is given at once
    assert words.tolist() == list(range(0, 250_000, 5))
    assert embedder.token_starts("").tolist() == []
    lone = embedder.token_starts("a \ud800 b")
    assert lone[0] == 0 and lone[-1] == 4
    assert (await embedder.embed(["\udfff"])).shape == (1, 384)


@pytest.mark.model
async def test_the_event_loop_goes_on_meanwhile(embedder: SentenceEmbedder) -> None:
    work = asyncio.create_task(embedder.embed(["some words to read " * 20] * 64))
    ticks = 0
    while not work.done():
        await asyncio.sleep(0.001)
        ticks += 1
    assert ticks > 10


async def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadFailed, match="cannot be loaded"):
        await SentenceEmbedder.load(tmp_path)
