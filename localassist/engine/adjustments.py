"""Logit bias and penalties on the few logits they concern, instead of on the whole vocabulary.

Each names its ``tokens`` and turns their logits into others; nothing is modified in place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, Union

import numpy as np

from localassist.engine.backend import Logits
from localassist.engine.sampler import LogitBias, Penalties

if TYPE_CHECKING:
    from numpy.typing import NDArray

Adjustment: TypeAlias = Union["BiasedLogits", "PenalizedLogits"]


class BiasedLogits:
    """The caller's bias."""

    def __init__(self, stage: LogitBias) -> None:
        self.tokens = np.array([token for token, _ in stage.biases], dtype=np.intp)
        self._biases = np.array([bias for _, bias in stage.biases], dtype=np.float32)

    def apply(self, logits: Logits) -> Logits:
        return logits + self._biases

    def remember(self, token: int) -> None:
        """A bias does not depend on the answer."""


class PenalizedLogits:
    """Penalties for the distinct tokens of the answer so far, kept in columns that grow."""

    def __init__(self, stage: Penalties) -> None:
        self._stage = stage
        self._places: dict[int, int] = {}
        self._tokens = np.empty(64, dtype=np.intp)
        self._counts = np.empty(64, dtype=np.float32)

    @property
    def tokens(self) -> NDArray[np.intp]:
        return self._tokens[: len(self._places)]

    def apply(self, logits: Logits) -> Logits:
        repeat, frequency = np.float32(self._stage.repeat), np.float32(self._stage.frequency)
        penalized = np.where(logits > 0, logits / repeat, logits * repeat)
        counts = self._counts[: len(self._places)]
        adjusted: Logits = penalized - counts * frequency - np.float32(self._stage.presence)
        return adjusted

    def remember(self, token: int) -> None:
        size = len(self._places)
        place = self._places.setdefault(token, size)
        if place < size:
            self._counts[place] += 1
            return
        if size == len(self._tokens):
            self._tokens = np.resize(self._tokens, 2 * size)
            self._counts = np.resize(self._counts, 2 * size)
        self._tokens[place] = token
        self._counts[place] = 1
