"""Texts to vectors: what every embedder promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    Vectors: TypeAlias = NDArray[np.float32]
    Offsets: TypeAlias = NDArray[np.int32]


class Embedder(Protocol):
    """A loaded embedding model. Called from the event loop; ``embed`` works in the background.

    Callers take turns by the batch, the one with the least left to do first: a question does not
    wait for a file.
    """

    @property
    def dimensions(self) -> int:
        """Length of every vector."""
        ...

    @property
    def max_tokens(self) -> int:
        """Tokens of one text that the model sees, its own special tokens not counted."""
        ...

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """One vector of length 1 per text, in order: float32 [n, dimensions]. Text beyond the
        model's window is not seen."""
        ...

    async def count_tokens(self, texts: Sequence[str]) -> int:
        """Tokens the model reads for these texts, its own special tokens included."""
        ...

    def token_starts(self, text: str) -> Offsets:
        """Where each token of a text of any length begins, in code points, ascending: int32
        [tokens]. Special tokens are left out. Blocks; any thread may call it."""
        ...

    def close(self) -> None:
        """Free the model. What is still being embedded is cancelled."""
        ...
