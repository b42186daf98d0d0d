"""The one way to search: opens the indexes of vector stores and asks them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from localassist.retrieval.passages import Passage


@dataclass(frozen=True, slots=True)
class Found:
    """What a search returned, best first, and the queries it was made with."""

    queries: tuple[str, ...]
    passages: tuple[Passage, ...]
    attributes: Mapping[str, Mapping[str, Any]]
    """Of the files in ``passages``, by file id."""


class Library:
    """Vector stores, open for search."""

    async def search(
        self,
        project: str,
        store_ids: Sequence[str],
        queries: Sequence[str],
        *,
        limit: int = 10,
        score_threshold: float = 0.0,
        filters: Mapping[str, Any] | None = None,
        form: Literal["chunks", "passages"] = "chunks",
        budget_tokens: int | None = None,
    ) -> Found:
        """Search the stores together; stores that were deleted count as empty.

        ``form`` ``chunks`` returns what each file's chunking strategy makes of it; ``passages``
        returns units in rank order, neighbours merged, up to ``budget_tokens``.
        ``filters`` is the wire form of the contract's comparison and compound filters.
        """
        raise NotImplementedError
