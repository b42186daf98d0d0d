"""Texts to vectors: what every embedder promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Embedder(Protocol):
    """A loaded embedding model. Called from the event loop; ``embed`` works in the background."""

    @property
    def dimensions(self) -> int:
        """Length of every vector."""
        ...

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector of length 1 per text, in order. Text beyond the model's window is not seen."""
        ...

    async def count_tokens(self, texts: Sequence[str]) -> int:
        """Tokens the model reads for these texts, its own special tokens included."""
        ...

    def close(self) -> None:
        """Free the model."""
        ...
