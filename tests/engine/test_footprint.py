"""How much memory models take, and how much there is."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from localassist.engine import EngineSettings, footprint, machine
from localassist.engine.footprint import (
    MIB,
    MemoryBudget,
    affordable_cells,
    cell_bytes,
    footprint_bytes,
    memory_budget,
    snapshot_memory_bytes,
)
from localassist.engine.llama import LlamaBackend
from localassist.engine.machine import free_memory_bytes, machine_memory_bytes
from localassist.registry.gguf import read_header

SMALL = {
    "general.architecture": "llama",
    "llama.block_count": 30,
    "llama.embedding_length": 576,
    "llama.attention.head_count": 9,
    "llama.attention.head_count_kv": 3,
}
SETTINGS = EngineSettings()


def test_cells_hold_keys_and_values_of_every_layer() -> None:
    assert cell_bytes(SMALL, SETTINGS) == 30 * 3 * 64 * (2 + 2)
    settings = SETTINGS.model_copy(update={"snapshot_memory_mb": 3})
    assert footprint_bytes(1000, SMALL, settings, 10) == 1000 + 10 * 23_040 + 3 * MIB


def test_snapshots_may_take_as_much_as_the_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    unset, some = SETTINGS, SETTINGS.model_copy(update={"snapshot_memory_mb": 7})
    monkeypatch.setattr(footprint, "machine_memory_bytes", lambda: 16_000 * MIB)
    for kv_mb, wanted in ((10, 512), (1000, 1000), (9000, 2000)):
        assert snapshot_memory_bytes(unset, kv_mb * MIB) == wanted * MIB
        assert snapshot_memory_bytes(some, kv_mb * MIB) == 7 * MIB
    monkeypatch.setattr(footprint, "machine_memory_bytes", lambda: None)
    assert snapshot_memory_bytes(unset, 9000 * MIB) == 9000 * MIB
    wide_keys = {**SMALL, "llama.attention.key_length": 128}
    assert cell_bytes(wide_keys, SETTINGS) == 30 * 3 * (128 + 64) * 2
    quantized = EngineSettings(cache_type_k="q8_0", cache_type_v="f32")
    assert cell_bytes(SMALL, quantized) == 30 * 3 * 64 * (34 / 32 + 4)


def test_what_is_not_told_is_guessed_upwards_or_left_out() -> None:
    every_head = {k: v for k, v in SMALL.items() if not k.endswith("head_count_kv")}
    assert cell_bytes(every_head, SETTINGS) == 3 * cell_bytes(SMALL, SETTINGS)
    assert cell_bytes({}, SETTINGS) == 0
    assert cell_bytes({**SMALL, "llama.block_count": "thirty"}, SETTINGS) == 0


@pytest.mark.parametrize(
    ("settings", "trained", "memory_bytes", "cells"),
    [
        (EngineSettings(context_tokens=512), 8192, MIB, 512),
        (SETTINGS, 8192, None, 8192),
        (SETTINGS, None, None, 4096),
        (SETTINGS, 131_072, 2 * 23_040 * 10_000, 9984),
        (SETTINGS, 131_072, MIB, 2048),
        (SETTINGS, 1024, MIB, 1024),
        (EngineSettings(gpu_layers=-1), 131_072, MIB, 131_072),
    ],
)
def test_cells_are_what_half_of_the_memory_holds(
    settings: EngineSettings, trained: int | None, memory_bytes: int | None, cells: int
) -> None:
    assert affordable_cells(SMALL, settings, trained, memory_bytes) == cells


def test_cells_share_the_memory_with_the_weights() -> None:
    """A model of 9 GB on a machine of 16 GB: its cells get half of the other seven."""
    large = {**SMALL, "llama.block_count": 48, "llama.embedding_length": 5120}
    large |= {"llama.attention.head_count": 40, "llama.attention.head_count_kv": 8}
    cells = affordable_cells(large, SETTINGS, 32_768, 16_000 * MIB, 9_000 * MIB)
    assert cells == 18_432 < affordable_cells(large, SETTINGS, 32_768, 16_000 * MIB)
    assert affordable_cells(large, SETTINGS, 32_768, 8_000 * MIB, 9_000 * MIB) == 2048


def test_what_is_left_open_follows_a_budget_that_is_set() -> None:
    """Who gives a small model half a gigabyte has not asked for its refusal."""
    for budget_mb, cells in ((512, 8192), (256, 5632), (64, 2048)):
        settings = EngineSettings(memory_budget_mb=budget_mb)
        for memory_bytes in (16_000 * MIB, None):
            assert affordable_cells(SMALL, settings, 8192, memory_bytes) == cells
        assert snapshot_memory_bytes(settings, 4000 * MIB) == budget_mb * MIB // 8
    settings = EngineSettings(memory_budget_mb=512)
    assert footprint_bytes(100 * MIB, SMALL, settings, 8192) < 512 * MIB


def test_the_budget_is_set_or_most_of_the_memory() -> None:
    assert memory_budget(EngineSettings(memory_budget_mb=512)) == MemoryBudget(512 * MIB)
    total = machine_memory_bytes()
    assert total is not None
    assert memory_budget(SETTINGS) == MemoryBudget(int(total * 0.8), is_derived=True)
    free = free_memory_bytes()
    assert free is None or free > 0


def test_a_container_has_no_more_than_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tmp_path / "memory.max", tmp_path / "none", tmp_path / "limit_in_bytes"
    files[0].write_text("max\n")
    files[2].write_text("1048576\n")
    monkeypatch.setattr(machine, "_CGROUP_LIMITS", files)
    assert machine_memory_bytes() == MIB


@pytest.mark.model
def test_llama_allocates_the_cells_that_were_foreseen(
    model_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "localassist.engine.llama")
    settings = EngineSettings(context_tokens=2048)
    seen: list[float] = []
    LlamaBackend(model_path, settings, use_extra_buffers=False, progress=seen.append).close()
    sizes = re.search(r"size = +([\d.]+) MiB \( *2048 cells", caplog.text)
    assert sizes is not None
    foreseen = 2048 * cell_bytes(read_header(model_path).metadata, settings)
    assert float(sizes[1]) == pytest.approx(foreseen / MIB, abs=0.01)
    assert seen == sorted(seen) and 0 <= seen[0] and seen[-1] == 1


@pytest.mark.model
def test_a_load_can_be_stopped(model_path: Path) -> None:
    def stop(fraction: float) -> None:
        raise InterruptedError("enough")

    with pytest.raises(InterruptedError, match="enough"):
        LlamaBackend(model_path, SETTINGS, use_extra_buffers=False, progress=stop)
