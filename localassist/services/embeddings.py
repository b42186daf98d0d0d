"""Embeddings: texts to vectors by a local model."""

from __future__ import annotations

from localassist.errors import UnsupportedParameter
from localassist.schemas.embeddings import (
    Embedding,
    EmbeddingCreate,
    EmbeddingList,
    EmbeddingUsage,
)
from localassist.services.models import Models


class Embeddings:
    """``/embeddings``."""

    def __init__(self, models: Models) -> None:
        self._models = models

    async def create(self, project: str, body: EmbeddingCreate) -> EmbeddingList:
        """Raises ModelNotFound, and UnsupportedParameter for token ids and foreign dimensions."""
        texts = [text for text in body.inputs if isinstance(text, str)]
        if len(texts) != len(body.inputs):
            raise UnsupportedParameter(
                "Token ids are of a hosted vocabulary; send text instead.",
                param="input",
            )
        embedder = await self._models.embedder(body.model)
        if body.dimensions not in (None, embedder.dimensions):
            message = f"This model makes vectors of {embedder.dimensions} dimensions only."
            raise UnsupportedParameter(message, param="dimensions")
        vectors = await embedder.embed(texts)
        tokens = await embedder.count_tokens(texts)
        return EmbeddingList(
            model=body.model,
            data=[
                Embedding.of(n, vector, body.encoding_format)
                for n, vector in enumerate(vectors.tolist())
            ],
            usage=EmbeddingUsage(prompt_tokens=tokens, total_tokens=tokens),
        )
