"""A loaded model whose passes can be timed with any number of threads, for child processes.

Decides nothing: what to time is ``engine.passes``' business, or that of ``engine.copies``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from localassist.engine.backend import Batch
from localassist.engine.config import EngineSettings
from localassist.engine.llama.backend import LlamaBackend
from localassist.engine.passes import Pass

if TYPE_CHECKING:
    from numpy.typing import NDArray

    LogProbabilities = NDArray[np.float32]

_CONTEXT_CELLS = 512


class Bench:
    """One model with one small context, computed on by the thread that made it."""

    def __init__(self, path: Path, settings: EngineSettings, *, use_extra_buffers: bool) -> None:
        """Raises ModelLoadFailed. ``settings`` are those the model will serve with."""
        cells = max(_CONTEXT_CELLS, settings.batch_tokens)
        small = settings.model_copy(update={"context_tokens": cells})
        self._backend = LlamaBackend(path, small, use_extra_buffers=use_extra_buffers)

    def time_pass(self, rows: int, threads: int) -> Pass:
        """Compute ``rows`` tokens in an empty context and take the time."""
        self._backend.set_threads(threads)
        self._backend.drop_cells(0)
        batch = Batch(self._tokens(rows), list(range(rows)), [0] * rows, _last_only(rows))
        started, worked = time.perf_counter(), time.process_time()
        self._backend.forward(batch)
        self._backend.logits(rows - 1)  # a GPU is only now waited for
        seconds = time.perf_counter() - started
        share = (time.process_time() - worked) / (max(seconds, 1e-9) * threads)
        return Pass(rows, threads, seconds, share)

    @property
    def context_tokens(self) -> int:
        """The most tokens that ``read`` takes."""
        return self._backend.limits.context_length

    def tokenize(self, text: str) -> list[int]:
        return self._backend.tokenize(text, parse_special=False)

    def read(self, tokens: Sequence[int]) -> Iterator[tuple[list[int], LogProbabilities]]:
        """Piece by piece: which tokens follow, and the log probabilities that the whole vocabulary
        had in their places. The first token follows nothing."""
        self._backend.drop_cells(0)
        piece = self._backend.limits.logits_rows
        for start in range(0, len(tokens) - 1, piece):
            end = min(start + piece, len(tokens) - 1)
            rows = end - start
            places = list(range(start, end))
            self._backend.forward(Batch(list(tokens[start:end]), places, [0] * rows, [True] * rows))
            logits = np.stack([self._backend.logits(row) for row in range(rows)])
            logits -= logits.max(axis=1, keepdims=True)
            logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
            yield list(tokens[start + 1 : end + 1]), logits

    def close(self) -> None:
        self._backend.close()

    def _tokens(self, rows: int) -> list[int]:
        """Different tokens from all over the vocabulary, the same in every run."""
        return [position * 7919 % self._backend.model.vocab_size for position in range(rows)]


def _last_only(rows: int) -> list[bool]:
    return [False] * (rows - 1) + [True]
