"""A parsed document into a segment: split, embed, measure the windows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from localassist.retrieval.documents import ParsedDocument
from localassist.retrieval.embedders.base import Embedder
from localassist.retrieval.segment import Segment, window_norms
from localassist.retrieval.splitting import split

if TYPE_CHECKING:
    from numpy.typing import NDArray

OnProgress = Callable[[int, int], None]
"""Called with the units done and the units in all; may raise to stop."""

UNIT_TOKENS = 100
_STRIDE = 128


async def build_segment(
    key: str,
    document: ParsedDocument,
    embedder: Embedder,
    *,
    embedder_id: str,
    on_progress: OnProgress = lambda done, units: None,
    unit_tokens: int = UNIT_TOKENS,
) -> Segment:
    """The document's segment, in memory. Cancelling it, or an exception of ``on_progress``, stops
    the work within a batch. A text without any characters gives a segment without units."""
    units = await asyncio.to_thread(_units, document, embedder, unit_tokens)
    vectors = np.zeros((len(units), embedder.dimensions), dtype=np.float32)
    # Texts of like length together: nothing is computed for padding.
    order = np.argsort(units[:, 2], kind="stable")
    on_progress(0, len(units))
    for first in range(0, len(units), _STRIDE):
        rows = order[first : first + _STRIDE]
        texts = [document.text[start:end] for start, end in units[rows, :2].tolist()]
        vectors[rows] = await embedder.embed(texts)
        on_progress(first + len(rows), len(units))
    norms = await asyncio.to_thread(window_norms, vectors)
    return Segment(
        key,
        document.text,
        document.places,
        document.language,
        embedder_id,
        units,
        vectors,
        norms,
    )


def _units(document: ParsedDocument, embedder: Embedder, unit_tokens: int) -> NDArray[np.int32]:
    """A unit leaves half of the model's window free: cut out of a long word, its text may become
    more tokens than it was within it."""
    limit = max(1, min(unit_tokens, embedder.max_tokens // 2))
    return split(document, embedder.token_starts(document.text), limit)
