"""Embedding models in sentence-transformers' format, from a local folder and never from a hub."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localassist.errors import ModelLoadFailed
from localassist.offline import switch_off
from localassist.retrieval.embedders.batches import BatchQueue
from localassist.retrieval.embedders.tokens import Tokens, well_formed

if TYPE_CHECKING:
    import numpy as np

    from localassist.retrieval.embedders.base import Offsets, Vectors

_BATCH_TEXTS = 16
_BATCH_CHARACTERS = 16 * 600
_UNLIMITED_TOKENS = 512


class SentenceEmbedder:
    """Any model that sentence-transformers can load, computed by PyTorch. Made with ``load``."""

    def __init__(self, model: Any, tokens: Tokens) -> None:
        self._tokens = tokens
        self._dimensions = int(model.get_embedding_dimension())
        self._queue = BatchQueue(
            partial(encode, model),
            self._dimensions,
            batch_items=_BATCH_TEXTS,
            batch_length=_BATCH_CHARACTERS,
        )

    @classmethod
    async def load(cls, folder: Path) -> SentenceEmbedder:
        """Load the model in ``folder``; takes seconds. Raises ModelLoadFailed."""
        model = await asyncio.to_thread(load_model, folder)
        return cls(model, await asyncio.to_thread(tokens_of, model))

    @property
    def dimensions(self) -> int:
        return self._dimensions

    @property
    def max_tokens(self) -> int:
        return self._tokens.max_tokens

    async def embed(self, texts: Sequence[str]) -> Vectors:
        return await self._queue.run([well_formed(text) for text in texts])

    async def count_tokens(self, texts: Sequence[str]) -> int:
        return sum(map(len, await self._tokens.encode_many(texts)))

    def token_starts(self, text: str) -> Offsets:
        return self._tokens.starts(text)

    def close(self) -> None:
        self._queue.close()


def encode(model: Any, texts: Sequence[str]) -> Vectors:
    """A SentenceTransformer's vectors of length 1, in one batch: float32 [n, dimensions]."""
    vectors: np.ndarray[Any, Any] = model.encode(
        list(texts), batch_size=len(texts), normalize_embeddings=True, show_progress_bar=False
    )
    return vectors.astype("float32", copy=False)


def load_model(folder: Path) -> Any:
    """The SentenceTransformer in a folder, on the processor. Raises ModelLoadFailed."""
    switch_off()  # they look a model up on the network even when it is given as a folder
    from sentence_transformers import SentenceTransformer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        return SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelLoadFailed(
            f"The embedding model in {folder.name} cannot be loaded: {error}"
        ) from error


def tokens_of(model: Any) -> Tokens:
    """The model's tokenizer. Raises ModelLoadFailed for one that does not tell where tokens
    stand in a text."""
    from tokenizers import Tokenizer

    tokenizer = model.tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not isinstance(backend, Tokenizer):
        raise ModelLoadFailed(
            f"The embedding model has a {type(tokenizer).__name__}, which does not tell where its "
            "tokens stand; use a model with a tokenizer.json."
        )
    limit = model.max_seq_length
    window = _UNLIMITED_TOKENS if limit is None or math.isinf(limit) else int(limit)
    return Tokens(backend.to_str(), window)
