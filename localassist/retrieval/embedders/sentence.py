"""Embedding models in sentence-transformers' format, from a local folder and never from a hub."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from localassist.errors import ModelLoadFailed


class SentenceEmbedder:
    """One model on one thread of its own. Made with ``load``."""

    def __init__(self, model: Any, thread: ThreadPoolExecutor) -> None:
        self._model = model
        self._thread = thread

    @classmethod
    async def load(cls, folder: Path) -> SentenceEmbedder:
        """Load the model in ``folder``; takes seconds. Raises ModelLoadFailed."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="embedder")
        try:
            model = await asyncio.get_running_loop().run_in_executor(thread, _load, folder)
        except BaseException:
            thread.shutdown(wait=False)
            raise
        return cls(model, thread)

    @property
    def dimensions(self) -> int:
        return int(self._model.get_embedding_dimension())

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, self._encode, list(texts)
        )

    async def count_tokens(self, texts: Sequence[str]) -> int:
        # On the model's thread: its tokenizer must not be used by two at once.
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._count, list(texts))

    def _count(self, texts: list[str]) -> int:
        encoded = self._model.tokenizer(texts, truncation=True)
        return sum(len(ids) for ids in encoded["input_ids"])

    def close(self) -> None:
        self._thread.shutdown()

    def _encode(self, texts: list[str]) -> list[list[float]]:
        vectors = self._model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
        return [[float(value) for value in vector] for vector in vectors]


def _load(folder: Path) -> Any:
    # The libraries look a model up on the network even when it is given as a folder.
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")
    from sentence_transformers import SentenceTransformer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        return SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelLoadFailed(
            f"The embedding model in {folder.name} cannot be loaded: {error}"
        ) from error
