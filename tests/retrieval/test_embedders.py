from __future__ import annotations

import math
from pathlib import Path

import pytest

from localassist.errors import ModelLoadFailed
from localassist.registry import Catalog
from localassist.retrieval.embedders import HashingEmbedder, SentenceEmbedder


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


async def test_hashed_words_make_similar_texts_close() -> None:
    embedder = HashingEmbedder()
    a, b, c, empty = await embedder.embed(["red frog", "a red frog", "tax return form", ""])
    assert cosine(a, b) > cosine(a, c)
    assert all(math.isclose(cosine(v, v), 1.0) for v in (a, b, c, empty))
    assert len(a) == embedder.dimensions


@pytest.mark.model
async def test_the_embedded_model_tells_meanings_apart(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    embedder = await SentenceEmbedder.load(catalog.locate(catalog.default("embedding")))
    texts = ["How is the weather in Paris?", "Is it raining in France?", "Compute 5 factorial."]
    weather, rain, factorial = await embedder.embed(texts)
    assert embedder.dimensions == len(weather) == 384
    assert math.isclose(cosine(weather, weather), 1.0, abs_tol=1e-5)
    assert cosine(weather, rain) > 0.4 > cosine(weather, factorial)
    assert await embedder.count_tokens(["Hello world"]) == 4  # two words, begin and end
    embedder.close()


async def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadFailed, match="cannot be loaded"):
        await SentenceEmbedder.load(tmp_path)
