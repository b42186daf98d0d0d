"""Settings of the embedded engine. Knows no model and no machine; ``None`` means "ask them"."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import Self

CacheType = Literal["f16", "f32", "q8_0", "q4_0"]
Switch = Literal["auto", "on", "off"]

MAX_SEQUENCE_IDS = 256
"""llama.cpp's own limit on sequence ids in one context."""


class EngineSettings(BaseModel):
    """``[engine]`` in ``localassist.toml``: how a model is loaded, and its share of the machine."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    context_tokens: int | None = Field(default=None, ge=256)
    """KV cells shared by all sequences. Unset: the model's own limit, as far as half of the free
    memory holds it."""

    max_sequences: int = Field(default=8, ge=1)
    """Answers generated at the same time."""

    cached_sequences: int = Field(default=24, ge=0)
    """Finished conversations whose KV cells are kept for a next turn."""

    batch_tokens: int = Field(default=512, ge=8)
    """Rows of one model pass at most."""

    threads: int | None = Field(default=None, ge=1)
    """Threads for single-token passes. Unset: one per core."""

    batch_threads: int | None = Field(default=None, ge=1)
    """Threads for passes of several rows. Unset: one per core."""

    gpu_layers: int = Field(default=0, ge=-1)
    """Layers kept in GPU memory; -1 is all of them."""

    cache_type_k: CacheType = "f16"
    """Element type of the K cache."""

    cache_type_v: CacheType = "f16"
    """Element type of the V cache; quantized types need flash attention."""

    flash_attention: Switch = "auto"
    """Flash attention kernels."""

    use_extra_buffers: Switch = "auto"
    """Repacked weights (AMX and others). ``auto``: if a probe process survives them."""

    probe_seconds: float = Field(default=120.0, gt=0)
    """How long the probe process may take before it counts as dead."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.batch_tokens < self.max_sequences:
            raise ValueError("batch_tokens must be at least max_sequences")
        if self.sequence_ids > MAX_SEQUENCE_IDS:
            raise ValueError(f"max_sequences + cached_sequences must not exceed {MAX_SEQUENCE_IDS}")
        return self

    @property
    def sequence_ids(self) -> int:
        """Sequence ids the context needs: running and cached ones."""
        return self.max_sequences + self.cached_sequences
