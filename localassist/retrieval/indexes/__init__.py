"""Vectors of the units of a vector store, and which of them are nearest to a question's."""

from __future__ import annotations

from localassist.retrieval.indexes.base import Nearest, OpenIndex, VectorIndex
from localassist.retrieval.indexes.chroma import ChromaIndex
from localassist.retrieval.indexes.memory import MemoryIndex

INDEXES: dict[str, OpenIndex] = {"chroma": ChromaIndex.open, "memory": MemoryIndex.open}

__all__ = ["INDEXES", "ChromaIndex", "MemoryIndex", "Nearest", "OpenIndex", "VectorIndex"]
