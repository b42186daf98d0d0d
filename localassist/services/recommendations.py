"""Which models suit how much memory: a shipped list of known models, and how much context of each
fits, by the same rules that load them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from localassist.engine.config import EngineSettings
from localassist.engine.footprint import cells_within
from localassist.registry.catalog import RECOMMENDED, shipped_models_folder

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

COMMON_RAM_GB = (4, 8, 16, 32, 64)
"""Sizes that machines are sold with; a GB is 2**30 bytes here."""

_SYSTEM_BYTES = 3 * 2**29  # what an idle system with a browser closed and this server take
_GIB = 2**30
_LEAST_TOKENS = 2048


class KnownModel(BaseModel):
    """A published model in one quantization. ``parameters`` in 10**9, ``file_gb`` in 10**9 bytes;
    ``ram_gb`` are the sizes of machines it is recommended for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    licence: str
    repo: str | None = None
    parameters: float = Field(gt=0)
    quantization: str
    file_gb: float = Field(gt=0)
    layers: int = Field(gt=0)
    kv_heads: int = Field(gt=0)
    head_size: int = Field(gt=0)
    trained_tokens: int = Field(gt=0)
    ram_gb: tuple[Annotated[int, Field(gt=0)], ...]
    note: str

    @property
    def size_bytes(self) -> int:
        return round(self.file_gb * 1e9)

    @property
    def metadata(self) -> dict[str, object]:
        """The shape, as a GGUF header says it."""
        return {
            "general.architecture": "known",
            "known.block_count": self.layers,
            "known.attention.head_count": self.kv_heads,
            "known.attention.head_count_kv": self.kv_heads,
            "known.attention.key_length": self.head_size,
            "known.attention.value_length": self.head_size,
        }


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A model for a machine of so much memory, and the context that fits there."""

    ram_gb: int
    model: KnownModel
    context_tokens: int


def known_models(path: Path | None = None) -> tuple[KnownModel, ...]:
    """The shipped list."""
    path = path or shipped_models_folder() / RECOMMENDED
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    return TypeAdapter(tuple[KnownModel, ...]).validate_python(data["model"])


def recommend(ram_gb: int, models: Sequence[KnownModel] | None = None) -> list[Recommendation]:
    """The models for a machine with so much memory: those listed for the largest common size that
    it reaches, less what does not fit after all, the largest first."""
    models = known_models() if models is None else models
    sizes = sorted({size for model in models for size in model.ram_gb if size <= ram_gb})
    found = [
        Recommendation(ram_gb, model, fitting_context(model, ram_gb * _GIB))
        for model in models
        if sizes and sizes[-1] in model.ram_gb
    ]
    fitting = [one for one in found if one.context_tokens >= _LEAST_TOKENS]
    return sorted(fitting, key=lambda one: -one.model.file_gb)


def fitting_context(model: KnownModel, memory_bytes: int) -> int:
    """Tokens for all conversations together that a machine of so much memory holds beside the
    weights, with the settings as they come; 0 where not even those fit."""
    free = memory_bytes - _SYSTEM_BYTES
    return cells_within(
        model.size_bytes,
        model.metadata,
        EngineSettings(),
        model.trained_tokens,
        memory_bytes=memory_bytes,
        free_bytes=free,
    )
