"""Embedding models computed by OpenVINO, from what ``conversion`` has made of them.

The same vectors as sentence-transformers', several times as fast, and without PyTorch in memory.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from localassist.errors import ModelLoadFailed
from localassist.offline import switch_off
from localassist.retrieval.embedders.batches import BatchQueue
from localassist.retrieval.embedders.tokens import Tokens

if TYPE_CHECKING:
    from localassist.retrieval.embedders.base import Offsets, Vectors

Precision = Literal["f32", "bf16"]

# Larger batches are no faster on a processor, take more memory and hold up questions.
_BATCH_TEXTS = 8
_BATCH_TOKENS = 8 * 128
# Every new shape of input is compiled once and then kept, so lengths are rounded up.
_LENGTH_STEP = 8


class OpenVinoModel:
    """A converted model, compiled for the processor. One thread at a time."""

    def __init__(self, folder: Path, precision: Precision) -> None:
        """Takes some tenths of a second. Raises ModelLoadFailed."""
        try:
            switch_off()  # importing it would be reported to its makers
            import openvino

            facts = json.loads((folder / "model.json").read_bytes())
            self.tokens = Tokens((folder / "tokenizer.json").read_text("utf-8"), facts["window"])
            self.dimensions = int(facts["dimensions"])
            self._padding = int(facts["padding_id"])
            core = openvino.Core()
            compiled = core.compile_model(
                core.read_model(folder / "model.xml"),
                "CPU",
                {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"},
            )
            self._request: Any = compiled.create_infer_request()
        except (ImportError, OSError, ValueError, KeyError, RuntimeError) as error:
            raise ModelLoadFailed(f"A converted embedding model cannot be used: {error}") from error

    def forward(self, texts: Sequence[Sequence[int]]) -> Vectors:
        """Vectors of tokenized texts, of length 1: float32 [n, dimensions]."""
        longest = max(map(len, texts))
        shape = (len(texts), -(-longest // _LENGTH_STEP) * _LENGTH_STEP)
        ids = np.full(shape, self._padding, dtype=np.int64)
        mask = np.zeros(shape, dtype=np.int64)
        for row, text in enumerate(texts):
            ids[row, : len(text)] = text
            mask[row, : len(text)] = 1
        found: Vectors = self._request.infer({"input_ids": ids, "attention_mask": mask})[0]
        return found


class OpenVinoEmbedder:
    """A converted model on a thread of its own. Made with ``load``."""

    def __init__(self, model: OpenVinoModel) -> None:
        self._model = model
        self._queue = BatchQueue(
            model.forward,
            model.dimensions,
            batch_items=_BATCH_TEXTS,
            batch_length=_BATCH_TOKENS,
        )

    @classmethod
    async def load(cls, folder: Path, precision: Precision) -> OpenVinoEmbedder:
        """Open the converted model in ``folder``. Raises ModelLoadFailed."""
        return cls(await asyncio.to_thread(OpenVinoModel, folder, precision))

    @property
    def dimensions(self) -> int:
        return self._model.dimensions

    @property
    def max_tokens(self) -> int:
        return self._model.tokens.max_tokens

    async def embed(self, texts: Sequence[str]) -> Vectors:
        return await self._queue.run(await self._model.tokens.encode_many(texts))

    async def count_tokens(self, texts: Sequence[str]) -> int:
        return sum(map(len, await self._model.tokens.encode_many(texts)))

    def token_starts(self, text: str) -> Offsets:
        return self._model.tokens.starts(text)

    def close(self) -> None:
        self._queue.close()
