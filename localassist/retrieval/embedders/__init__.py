"""Embedders: the interface, sentence-transformers, and a double without a model."""

from localassist.retrieval.embedders.base import Embedder
from localassist.retrieval.embedders.hashing import HashingEmbedder
from localassist.retrieval.embedders.sentence import SentenceEmbedder

__all__ = ["Embedder", "HashingEmbedder", "SentenceEmbedder"]
