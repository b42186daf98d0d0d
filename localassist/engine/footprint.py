"""How much memory a model will take, and how much of the machine's is for models.

Counted are the weights, the KV cells and their snapshots. Compute buffers, grammars and the process
itself are not; the part of the memory that a derived budget leaves alone is for them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from localassist.engine.config import CacheType, EngineSettings
from localassist.engine.machine import machine_memory_bytes

MIB = 2**20
_DERIVED_SHARE = 0.8
_UNKNOWN_CONTEXT, _LEAST_CONTEXT = 4096, 2048
_LEAST_SNAPSHOTS_BYTES = 512 * MIB
_VALUE_BYTES: dict[CacheType, float] = {"f32": 4, "f16": 2, "q8_0": 34 / 32, "q4_0": 18 / 32}


@dataclass(frozen=True, slots=True)
class MemoryBudget:
    """What all loaded models together may take; None is no limit. A derived one is a guess: a
    single model may exceed it."""

    size_bytes: int | None = None
    is_derived: bool = False


def memory_budget(settings: EngineSettings) -> MemoryBudget:
    """The budget that is set, or most of the machine's memory."""
    if settings.memory_budget_mb is not None:
        return MemoryBudget(settings.memory_budget_mb * MIB)
    total = machine_memory_bytes()
    return MemoryBudget(None if total is None else int(total * _DERIVED_SHARE), is_derived=True)


def footprint_bytes(
    weights_bytes: int, metadata: Mapping[str, object], settings: EngineSettings, cells: int
) -> int:
    """Memory of a model with this GGUF metadata and so many KV cells, and of its snapshots."""
    kv_bytes = cells * cell_bytes(metadata, settings)
    return weights_bytes + kv_bytes + snapshot_memory_bytes(settings, kv_bytes)


def cells_within(
    weights_bytes: int,
    metadata: Mapping[str, object],
    settings: EngineSettings,
    trained_tokens: int,
    *,
    memory_bytes: int,
    free_bytes: int,
) -> int:
    """The KV cells that a model would get on a machine with so much memory, of which so much is
    free before it is loaded; 0 where weights, cells and snapshots together are more than the share
    for models, or more than is free."""
    limit = min(int(memory_bytes * _DERIVED_SHARE), free_bytes)
    size = max(cell_bytes(metadata, settings), 1)
    cells = affordable_cells(metadata, settings, trained_tokens, free_bytes, weights_bytes)
    least = weights_bytes + snapshot_memory_bytes(settings, 0, memory_bytes)
    # As many snapshots as cells, up to an eighth of the memory, leave this many cells.
    most = max((limit - weights_bytes) // (2 * size), (limit - least) // size)
    while most > 0 and _whole(weights_bytes, most * size, settings, memory_bytes) > limit:
        most -= max(most // 64, 1)
    return max(min(cells, most), 0) // 256 * 256


def _whole(weights_bytes: int, kv_bytes: int, settings: EngineSettings, memory_bytes: int) -> int:
    return weights_bytes + kv_bytes + snapshot_memory_bytes(settings, kv_bytes, memory_bytes)


def snapshot_memory_bytes(
    settings: EngineSettings, kv_bytes: int, memory_bytes: int | None = None
) -> int:
    """What saved KV cells may take: what is set, or as much as the cells themselves, but at least
    512 MiB and at most an eighth of the memory: this machine's or the given, or a budget that is
    set."""
    if settings.snapshot_memory_mb is not None:
        return settings.snapshot_memory_mb * MIB
    wanted = max(kv_bytes, _LEAST_SNAPSHOTS_BYTES)
    total = _within_budget(settings, memory_bytes or machine_memory_bytes())
    return wanted if total is None else min(wanted, total // 8)


def affordable_cells(
    metadata: Mapping[str, object],
    settings: EngineSettings,
    trained_tokens: int | None,
    memory_bytes: int | None,
    weights_bytes: int = 0,
) -> int:
    """The KV cells of a model: those set, or what it was trained for, as far as they fit into half
    of what weights that are not loaded yet leave of ``memory_bytes``, or of a budget that is set.
    GPU memory is not known, so with layers there nothing is cut."""
    if settings.context_tokens is not None:
        return settings.context_tokens
    wanted = trained_tokens or _UNKNOWN_CONTEXT
    memory_bytes = _within_budget(settings, memory_bytes)
    if memory_bytes is None or settings.gpu_layers != 0:
        return wanted
    free_bytes = max(memory_bytes - weights_bytes, 0)
    affordable = free_bytes // 2 // max(cell_bytes(metadata, settings), 1) // 256 * 256
    return min(wanted, max(_LEAST_CONTEXT, affordable))


def _within_budget(settings: EngineSettings, memory_bytes: int | None) -> int | None:
    if settings.memory_budget_mb is None:
        return memory_bytes
    budget = settings.memory_budget_mb * MIB
    return budget if memory_bytes is None else min(memory_bytes, budget)


def cell_bytes(metadata: Mapping[str, object], settings: EngineSettings) -> int:
    """Memory of one KV cell over all layers; 0 where the metadata does not tell."""
    architecture = metadata.get("general.architecture")

    def number(key: str) -> int:
        value = metadata.get(f"{architecture}.{key}")
        return value if type(value) is int and value > 0 else 0

    heads = number("attention.head_count")
    head_size = number("embedding_length") // heads if heads else 0
    values_k = number("attention.key_length") or head_size
    values_v = number("attention.value_length") or head_size
    # Models whose layers differ list them; the list is not read, and every head counts.
    kv_heads = number("attention.head_count_kv") or heads
    per_head = (
        values_k * _VALUE_BYTES[settings.cache_type_k]
        + values_v * _VALUE_BYTES[settings.cache_type_v]
    )
    return math.ceil(number("block_count") * kv_heads * per_head)
