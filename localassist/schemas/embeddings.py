"""Embeddings: the request and the answer in both encodings."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from localassist.schemas import phrases
from localassist.schemas.base import Body, Items, WireModel, refuse
from localassist.schemas.one_of import OneOf
from localassist.schemas.tools import ModelName

MAX_INPUTS = 2048

EncodingFormat = Literal["float", "base64"]
TokenId = Annotated[int, Field(ge=0)]
TokenIds = Annotated[Items[TokenId], Field(min_length=1)]
InputText = Annotated[str, Field(min_length=1)]
InputItem = Annotated[InputText | TokenId | TokenIds, OneOf()]


def _check_items(items: list[str | int | list[int]]) -> list[str | int | list[int]]:
    """All texts, all token lists, or one text given as tokens; only the last may be long."""
    kind = type(items[0])
    for index, item in enumerate(items):
        if type(item) is not kind:
            error = phrases.wrong_type("{param}", phrases.kind_of(items[0]), item)
            raise refuse(error.message, code=error.code, at=(index,))
    if kind is not int and len(items) > MAX_INPUTS:
        error = phrases.array_too_long("{param}", MAX_INPUTS, len(items))
        raise refuse(error.message, code=error.code)
    return items


InputItems = Annotated[Items[InputItem], Field(min_length=1), AfterValidator(_check_items)]


class EmbeddingCreate(Body):
    """POST /embeddings. Official clients ask for base64 unless their caller says otherwise."""

    model: ModelName
    input: Annotated[InputText | InputItems, OneOf()]
    encoding_format: EncodingFormat = "float"
    dimensions: Annotated[int, Field(ge=1)] | None = None
    user: str | None = None

    @property
    def inputs(self) -> list[str | list[int]]:
        """One entry per vector to compute, as text or as token ids."""
        if isinstance(self.input, str):
            return [self.input]
        tokens = [item for item in self.input if isinstance(item, int)]
        if tokens:
            return [tokens]
        return [item for item in self.input if not isinstance(item, int)]


class Embedding(WireModel):
    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str

    @classmethod
    def of(cls, index: int, vector: Sequence[float], encoding: EncodingFormat) -> Embedding:
        """Base64 holds little-endian 32-bit floats."""
        if encoding == "float":
            return cls(index=index, embedding=list(vector))
        packed = struct.pack(f"<{len(vector)}f", *vector)
        return cls(index=index, embedding=base64.b64encode(packed).decode("ascii"))


class EmbeddingUsage(WireModel):
    prompt_tokens: int
    total_tokens: int


class EmbeddingList(WireModel):
    object: Literal["list"] = "list"
    model: str
    data: list[Embedding]
    usage: EmbeddingUsage
