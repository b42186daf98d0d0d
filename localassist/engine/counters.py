"""What an engine has done and holds, for metrics, tests and benchmarks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class EngineCounters:
    """Totals since the start, and the state at the moment they were read."""

    steps: int = 0
    rows: int = 0
    widest_step: int = 0
    """Most sequences that shared one step."""
    prefilled_tokens: int = 0
    """Rows nobody read the logits of: prompts, and tokens that a grammar forced."""
    cached_tokens: int = 0
    """Tokens of prompts whose KV cells were there already."""
    restored_tokens: int = 0
    """Tokens whose KV cells came back from a snapshot."""
    generated_tokens: int = 0
    forced_tokens: int = 0
    """Generated tokens that a grammar left no choice about."""
    drafted_tokens: int = 0
    """Tokens guessed ahead and checked."""
    accepted_tokens: int = 0
    """Guesses that were right."""
    preemptions: int = 0
    evictions: int = 0
    running: int = 0
    waiting: int = 0
    used_cells: int = 0
    pinned_cells: int = 0
    snapshot_memory_bytes: int = 0
    snapshot_disk_bytes: int = 0


@dataclass(frozen=True, slots=True)
class SnapshotCounters:
    """What is held now, and totals since the start. ``disk_bytes`` is the whole folder's."""

    memory_bytes: int
    disk_bytes: int
    hits: int
    misses: int
    written: int
    damaged: int
