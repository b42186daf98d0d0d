"""Vector stores, their files and batches: objects and bodies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, model_validator
from typing_extensions import Self

from localassist.schemas import phrases
from localassist.schemas.attributes import Attributes, Filter
from localassist.schemas.base import (
    Body,
    Items,
    Metadata,
    WireModel,
    check_text,
    refuse,
)
from localassist.schemas.one_of import OneOf
from localassist.schemas.tools import ChunkingStrategy, StaticChunking

DEFAULT_CHUNKING = StaticChunking(max_chunk_size_tokens=800, chunk_overlap_tokens=400)
"""What the strategy ``auto`` is shown as."""
MAX_STORE_FILES = 500
MAX_BATCH_FILES = 2000

StoreStatus = Literal["expired", "in_progress", "completed"]
StoreFileStatus = Literal["in_progress", "completed", "failed", "cancelled"]
BatchStatus = Literal["in_progress", "completed", "cancelled", "failed"]
StoreFileErrorCode = Literal["server_error", "unsupported_file", "invalid_file"]

# --- input ------------------------------------------------------------------------------------


class ExpiresAfter(Body):
    """Same shape in and out."""

    anchor: Literal["last_active_at"]
    days: Annotated[int, Field(ge=1, le=365)]


class VectorStoreCreate(Body):
    """POST /vector_stores."""

    name: str | None = None
    description: str | None = None
    file_ids: Annotated[Items[str], Field(max_length=MAX_STORE_FILES)] | None = None
    chunking_strategy: ChunkingStrategy | None = None
    expires_after: ExpiresAfter | None = None
    metadata: Metadata | None = None


class VectorStoreUpdate(Body):
    """POST /vector_stores/{id}. A field that is absent stays as it is; null clears it."""

    name: str | None = None
    description: str | None = None
    expires_after: ExpiresAfter | None = None
    metadata: Metadata | None = None


class StoreFileCreate(Body):
    """POST /vector_stores/{id}/files, and an entry of a batch's ``files``."""

    file_id: str
    chunking_strategy: ChunkingStrategy | None = None
    attributes: Attributes | None = None


class StoreFileUpdate(Body):
    """POST /vector_stores/{id}/files/{file_id}: replaces the attributes, null clears them."""

    attributes: Attributes | None


class FileBatchCreate(Body):
    """POST /vector_stores/{id}/file_batches: ``file_ids``, to all of which ``attributes`` and
    ``chunking_strategy`` apply, or ``files`` with their own."""

    file_ids: Annotated[Items[str], Field(min_length=1, max_length=MAX_BATCH_FILES)] | None = None
    files: (
        Annotated[Items[StoreFileCreate], Field(min_length=1, max_length=MAX_BATCH_FILES)] | None
    ) = None
    chunking_strategy: ChunkingStrategy | None = None
    attributes: Attributes | None = None

    @model_validator(mode="after")
    def _ids_or_files(self) -> Self:
        if self.file_ids is not None and self.files is not None:
            raise refuse(
                "Invalid '{param}': 'file_ids' and 'files' are mutually exclusive.",
                at=("file_ids",),
            )
        if self.file_ids is None and self.files is None:
            error = phrases.missing("{param}")
            raise refuse(error.message, code=error.code, at=("file_ids",))
        return self

    @property
    def entries(self) -> list[StoreFileCreate]:
        """What to attach, one entry per file."""
        if self.files is not None:
            return self.files
        return [
            StoreFileCreate(
                file_id=file_id,
                chunking_strategy=self.chunking_strategy,
                attributes=self.attributes,
            )
            for file_id in self.file_ids or []
        ]


class SearchRankingOptions(Body):
    """All rankers are the one there is."""

    ranker: Literal["none", "auto", "default-2024-11-15"] | None = None
    score_threshold: Annotated[float, Field(ge=0, le=1)] | None = None


_Query = Annotated[str, Field(min_length=1)]


class VectorStoreSearch(Body):
    """POST /vector_stores/{id}/search."""

    query: Annotated[
        _Query | Annotated[Items[_Query], Field(min_length=1)],
        OneOf(),
    ]
    max_num_results: Annotated[int, Field(ge=1, le=50)] | None = None
    rewrite_query: bool | None = None
    filters: Filter | None = None
    ranking_options: SearchRankingOptions | None = None

    @property
    def queries(self) -> list[str]:
        return [self.query] if isinstance(self.query, str) else self.query


def parse_filter(params: Mapping[str, str]) -> StoreFileStatus | None:
    """The ``filter`` of a list of store files."""
    value = params.get("filter")
    if value is None:
        return None
    for status in get_args(StoreFileStatus):
        if value == status:
            return status  # type: ignore[no-any-return]
    raise phrases.not_supported("filter", check_text(value, "filter"), get_args(StoreFileStatus))


# --- output -----------------------------------------------------------------------------------


class FileCounts(WireModel):
    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    total: int = 0


class VectorStore(WireModel):
    id: str
    object: Literal["vector_store"] = "vector_store"
    created_at: int
    name: str
    description: str | None = None
    usage_bytes: int
    file_counts: FileCounts
    status: StoreStatus
    expires_after: ExpiresAfter | None = None
    expires_at: int | None = None
    last_active_at: int
    metadata: Metadata = {}


class StoreFileError(WireModel):
    code: StoreFileErrorCode
    message: str


class StaticStrategy(WireModel):
    type: Literal["static"] = "static"
    static: StaticChunking = DEFAULT_CHUNKING


class StoreFile(WireModel):
    """``id`` is the file's own."""

    id: str
    object: Literal["vector_store.file"] = "vector_store.file"
    created_at: int
    vector_store_id: str
    usage_bytes: int
    status: StoreFileStatus
    last_error: StoreFileError | None = None
    chunking_strategy: StaticStrategy = StaticStrategy()
    attributes: dict[str, Any] = {}


class FileBatch(WireModel):
    id: str
    object: Literal["vector_store.file_batch"] = "vector_store.file_batch"
    created_at: int
    vector_store_id: str
    status: BatchStatus
    file_counts: FileCounts


class TextChunk(WireModel):
    type: Literal["text"] = "text"
    text: str


class FileContentPage(WireModel):
    """The parsed text of a file."""

    object: Literal["vector_store.file_content.page"] = "vector_store.file_content.page"
    data: list[TextChunk]
    has_more: Literal[False] = False
    next_page: None = None


class SearchResult(WireModel):
    """``place`` is ours: where in the file the text stands, such as ``page 3``."""

    omitted_when_none: ClassVar[frozenset[str]] = frozenset({"place"})

    file_id: str
    filename: str
    score: float
    attributes: dict[str, Any] = {}
    content: list[TextChunk]
    place: str | None = None


class SearchPage(WireModel):
    """Best first."""

    object: Literal["vector_store.search_results.page"] = "vector_store.search_results.page"
    search_query: list[str]
    data: list[SearchResult]
    has_more: Literal[False] = False
    next_page: None = None
