"""Segments of made-up units, without a model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from localassist.retrieval.documents import Place
from localassist.retrieval.segment import Segment, window_norms

DIMENSIONS = 8


def vector_of(text: str) -> np.ndarray:
    """Of length 1, the same for the same text."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")
    vector = np.random.default_rng(seed).standard_normal(DIMENSIONS).astype(np.float32)
    return vector / np.linalg.norm(vector)


def segment(
    units: Sequence[str],
    *,
    language: str = "en",
    tokens: Sequence[int] | None = None,
    places: Sequence[Place] = (),
) -> Segment:
    """One unit after another with a space between; a word is a token unless ``tokens`` says
    otherwise."""
    table, start = [], 0
    for i, text in enumerate(units):
        count = len(text.split()) if tokens is None else tokens[i]
        table.append((start, start + len(text), count))
        start += len(text) + 1
    vectors = np.array([vector_of(text) for text in units], np.float32).reshape(-1, DIMENSIONS)
    return Segment(
        "key",
        " ".join(units),
        places,
        language,
        "made",
        np.array(table, np.int32).reshape(-1, 3),
        vectors,
        window_norms(vectors),
    )
