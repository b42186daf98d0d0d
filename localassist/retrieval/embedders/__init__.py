"""Embedders: the interface, sentence-transformers by PyTorch or OpenVINO, and a double without a
model."""

from localassist.retrieval.embedders.base import Embedder
from localassist.retrieval.embedders.choosing import Backend, open_embedder
from localassist.retrieval.embedders.hashing import HashingEmbedder
from localassist.retrieval.embedders.openvino import OpenVinoEmbedder
from localassist.retrieval.embedders.sentence import SentenceEmbedder

__all__ = [
    "Backend",
    "Embedder",
    "HashingEmbedder",
    "OpenVinoEmbedder",
    "SentenceEmbedder",
    "open_embedder",
]
