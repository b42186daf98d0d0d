"""Settings of retrieval: what parsing may cost, which embedder works, what is kept open."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class RetrievalSettings(BaseModel):
    """``[retrieval]`` in ``localassist.toml``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parse_seconds: float = Field(default=120.0, gt=0)
    """How long reading one file may take before its ingest fails."""

    parse_memory_mb: int = Field(default=2048, ge=128)
    """Memory that the process which reads a file may take."""

    max_text_characters: int = Field(default=20_000_000, ge=1)
    """Text that one file may hold; a file with more is refused as a whole."""

    embedder_backend: Literal["auto", "torch", "openvino"] = "auto"
    """What computes embeddings. ``auto`` takes the faster one, found out once per machine."""

    poll_seconds: float = Field(default=0.5, gt=0)
    """How often the database is asked for files to ingest and for cancellations of other
    processes."""

    max_interruptions: int = Field(default=3, ge=0)
    """How often a file is taken up again after the process died over it, before its ingest
    fails."""

    open_stores: int = Field(default=32, ge=1)
    """Vector stores whose indexes stay open between searches."""

    content_memory_mb: int = Field(default=512, ge=1)
    """Memory for the content of files that was needed last in searches. Enough for some 300,000
    units of the packaged embedder; with less, a store that is larger is read from disk each
    time."""
