"""Settings of the embedded engine. Knows no model and no machine; ``None`` means "ask them"."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from typing_extensions import Self

CacheType = Literal["f16", "f32", "q8_0", "q4_0"]
Switch = Literal["auto", "on", "off"]

MAX_SEQUENCE_IDS = 255
"""llama.cpp's own limit on sequence ids in one context, less the one that snapshots go through."""


class LoraAdapter(BaseModel):
    """A LoRA adapter in GGUF format and how strongly it counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    scale: float = Field(default=1.0, allow_inf_nan=False)

    @field_validator("path")
    @classmethod
    def _is_whole(cls, value: Path) -> Path:
        """Child processes run elsewhere and must find the same file."""
        return value.expanduser().absolute()


class EngineSettings(BaseModel):
    """``[engine]`` in ``localassist.toml``: how a model is loaded, and its share of the machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    context_tokens: int | None = Field(default=None, ge=256)
    """KV cells shared by all sequences. Unset: the model's own limit, as far as half of the free
    memory, or of ``memory_budget_mb``, holds it."""

    max_sequences: int = Field(default=8, ge=1)
    """Answers generated at the same time."""

    cached_segments: int = Field(default=48, ge=0)
    """Pieces of earlier prompts and answers whose KV cells are kept. What several conversations
    share is one piece; what only one of them has said is another."""

    idle_cells: int | None = Field(default=None, ge=0)
    """KV cells that idle conversations may keep while others are answered; the rest moves to
    snapshots. Unset: 0 on a processor, where every cell slows every step and bringing one back
    costs a hundredth of computing it; all on a GPU, or where no snapshots are kept."""

    snapshot_memory_mb: int | None = Field(default=None, ge=0)
    """Memory for the saved KV cells of idle conversations, 0 for none. Unset: as much as the
    model's KV cells take, but at least 512 and at most an eighth of the machine's memory or of
    ``memory_budget_mb``. Beside them up to 64 MB may wait to be written to disk."""

    snapshot_disk_mb: int = Field(default=2048, ge=0)
    """Disk space in the data folder for the same, so that conversations are warm after a restart;
    0 writes none. The files hold what was said, as tokens."""

    max_waiting: int = Field(default=1024, ge=1)
    """Requests that may wait for a place among the running ones; more are refused."""

    speculation: Switch = "auto"
    """Guess the next tokens from what the conversation already says and check them in one pass.
    The answer does not change. ``auto``: as long as most guesses are right."""

    draft_tokens: int = Field(default=16, ge=1)
    """Tokens guessed ahead at most."""

    batch_tokens: int = Field(default=512, ge=8)
    """Rows of one model pass at most."""

    longest_gap: float = Field(default=3.0, gt=1)
    """How many times longer running answers may take for a token while prompts are read beside
    them. More lets prompts begin to be answered sooner."""

    threads: int | None = Field(default=None, ge=1)
    """Threads for single-token passes. Unset: measured when the model is first loaded."""

    batch_threads: int | None = Field(default=None, ge=1)
    """Threads for passes of several rows. Unset: measured as well."""

    adapt_threads: bool = True
    """Use fewer threads than that while other programs keep the processor busy: a pass waits for
    its slowest thread."""

    micro_batch_tokens: int | None = Field(default=None, ge=1)
    """Rows computed at once within a pass. Unset: measured as well."""

    tuning_seconds: float = Field(default=4.0, ge=0)
    """How long that measurement may take, in the probe process. What was found is remembered in
    ``cache/tuning.json`` of the data folder; without that file it is measured again, and so it is
    later where other programs kept the machine busy. 0 measures nothing: one thread per core, and
    whole passes."""

    gpu_layers: int = Field(default=0, ge=-1)
    """Layers kept in GPU memory; -1 is all of them."""

    cache_type_k: CacheType = "f16"
    """Element type of the K cache."""

    cache_type_v: CacheType = "f16"
    """Element type of the V cache; quantized types need flash attention."""

    flash_attention: Switch = "auto"
    """Flash attention kernels. ``auto``: on a GPU, and where a quantized V cache needs them."""

    lora: tuple[LoraAdapter, ...] = ()
    """LoRA adapters, applied in this order to every chat model that is loaded here. A relative
    ``path`` begins at the folder that the command is started in."""

    use_extra_buffers: Switch = "auto"
    """Repacked weights (AMX and others). ``auto``: if a probe process survives them."""

    probe_seconds: float = Field(default=120.0, gt=0)
    """How long the probe process may take to load the model before it counts as dead."""

    memory_budget_mb: int | None = Field(default=None, ge=1)
    """MiB that the weights, KV cells and snapshots of all loaded models may take together. A model
    that needs more room than is left waits until idle ones are closed. Unset: 80 % of the
    memory."""

    keep_alive_seconds: float = Field(default=1800.0, ge=-1)
    """How long a model stays loaded after its last request; 0 closes it at once, -1 keeps it until
    another needs its memory."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.batch_tokens < self.max_sequences:
            raise ValueError("batch_tokens must be at least max_sequences")
        if self.sequence_ids > MAX_SEQUENCE_IDS:
            raise ValueError(f"max_sequences + cached_segments must not exceed {MAX_SEQUENCE_IDS}")
        if self.cache_type_v in ("q8_0", "q4_0") and self.flash_attention == "off":
            raise ValueError("a quantized cache_type_v needs flash_attention, which is off")
        return self

    @property
    def sequence_ids(self) -> int:
        """Sequence ids the context needs: one per running sequence and per cached segment."""
        return self.max_sequences + self.cached_segments
