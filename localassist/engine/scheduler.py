"""Decides what each step computes: admit, chunked prefill mixed with decode, preempt. Pure.

Every step, in this order:

1. Waiting sequences are admitted first come, first served, while there is a place among the
   running ones and their tokens fit beside the cells the running ones hold.
2. Running sequences with one pending token (decode) get a row each.
3. The rest of the batch is dealt out evenly among the others (prefill); who gets the odd rows
   rotates from step to step. Beside answers it is a smaller rest: every row of a prompt makes all
   of them wait for their next token.
4. Cells are reserved oldest sequence first. When none are left, idle cached sequences are evicted,
   then the youngest running sequence is preempted: its cells are freed and it waits at the front
   to be computed again. Its tokens, sampler and grammar are untouched, so its output is too.

A step always makes progress: the oldest running sequence can get every cell. Knows no model, no
text and no thread; the worker applies ``Plan.operations``, runs the chunks, reports ``complete``.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from localassist.engine.kv_cache import KvCache, Operation
from localassist.engine.prefix_cache import PrefixCache, Source
from localassist.engine.sequence import Sequence, Status

# Prefill rows beside answers: so many for each, but never fewer than the least. With these a step
# takes about four times as long as one without prefill, and prefill keeps most of its speed.
_PREFILL_PER_ANSWER = 8
_LEAST_PREFILL = 16


@dataclass(frozen=True, slots=True)
class Chunk:
    """``count`` tokens of a sequence from position ``start``, to be computed in this step."""

    sequence: Sequence
    start: int
    count: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One step: what to change in the backend first, then what to compute."""

    operations: list[Operation]
    chunks: list[Chunk]

    @property
    def rows(self) -> int:
        return sum(chunk.count for chunk in self.chunks)


class Scheduler:
    """Owns the queues, the KV accounting and the prefix cache of one context."""

    def __init__(
        self,
        kv: KvCache,
        cache: PrefixCache,
        *,
        max_sequences: int,
        batch_tokens: int,
        logits_rows: int,
    ) -> None:
        assert max_sequences <= min(batch_tokens, logits_rows), "every decode row needs a place"
        self.kv = kv
        self.cache = cache
        self.preemptions = 0
        self._max_sequences = max_sequences
        self._batch_tokens = batch_tokens
        self._logits_rows = logits_rows
        self._waiting: deque[Sequence] = deque()
        self._running: list[Sequence] = []  # oldest admission first
        self._turn = 0

    @property
    def has_work(self) -> bool:
        return bool(self._waiting or self._running)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def running(self) -> int:
        return len(self._running)

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence; its tokens must fit the context and there must be at least one."""
        assert 0 < len(sequence.tokens) <= self.kv.total_cells
        self._waiting.append(sequence)

    def schedule(self) -> Plan:
        """Plan one step and reserve its cells; ``complete`` must follow."""
        while self._waiting and self._admit(self._waiting[0]):
            self._waiting.popleft()
        rows = self._deal_rows()
        chunks: list[Chunk] = []
        # Every sequence is sure of one row with logits; the spare ones are for scoring.
        spare = self._logits_rows - len(self._running)
        for sequence in list(self._running):  # preemption shortens the original
            if sequence.status is not Status.RUNNING:
                continue
            wanted = self._cap_logits(sequence, rows.get(sequence, 0), spare + 1)
            count = self._reserve(sequence, wanted)
            if count > 0:
                chunks.append(Chunk(sequence, sequence.computed, count))
                spare -= max(0, sequence.logits_rows(count) - 1)
        return Plan(self.kv.drain_operations(), chunks)

    def complete(self, plan: Plan) -> None:
        """The chunks of ``plan`` have been computed."""
        for chunk in plan.chunks:
            chunk.sequence.computed += chunk.count

    def finish(self, sequence: Sequence) -> None:
        """Remove a sequence, finished or aborted, in any state; its computed prefix stays cached.

        Idempotent.
        """
        if sequence.status is Status.WAITING:
            self._waiting.remove(sequence)
        elif sequence.status is Status.RUNNING:
            self._running.remove(sequence)
            if sequence.is_disposable:
                self.kv.unlock(sequence.slot)
                self.kv.release(sequence.slot)
            else:
                self.kv.truncate(sequence.slot, sequence.computed)
                self.cache.insert(sequence.slot, sequence.tokens[: sequence.computed])
        sequence.status = Status.FINISHED

    def check_integrity(self) -> None:
        """Every locked cell belongs to a running sequence and the caches add up."""
        self.cache.check_integrity()
        for sequence in self._running:
            assert self.kv.length(sequence.slot) == sequence.computed, "cells and computed tokens"
        if not self._running:
            assert self.kv.pinned_cells == 0, "cells pinned while nothing runs"

    def _admit(self, sequence: Sequence) -> bool:
        """Give the sequence a slot with its longest cached prefix, if it fits now."""
        if len(self._running) >= self._max_sequences:
            return False
        running = [Source(s.slot, s.tokens[: s.computed]) for s in self._running]
        match = self.cache.match(sequence.tokens, sequence.logits_from, running)
        needed = len(sequence.tokens) - match.length
        if match.source is not None:
            needed += self.kv.unpinned_cells(match.source.slot, match.length)
        # What the running ones hold and have pending, and one cell each to go on: without them
        # the newcomer would be preempted at once.
        promised = self.kv.pinned_cells + sum(s.pending + 1 for s in self._running)
        if self._running and promised + needed > self.kv.total_cells:
            return False
        sequence.slot = self.cache.claim(match, is_disposable=sequence.is_disposable)
        sequence.computed = match.length
        if sequence.cached_tokens is None:
            sequence.cached_tokens = match.length
        sequence.status = Status.RUNNING
        self._running.append(sequence)
        return True

    def _deal_rows(self) -> dict[Sequence, int]:
        """Rows per sequence: one for each decode, the rest evenly over prefills."""
        rows = {s: 1 for s in self._running if s.pending == 1}
        prefills = [s for s in self._running if s.pending > 1]
        left = self._batch_tokens - len(rows)
        if rows:
            left = min(left, max(_LEAST_PREFILL, _PREFILL_PER_ANSWER * len(rows)))
        self._turn += 1
        start = self._turn % len(prefills) if prefills else 0
        queue = prefills[start:] + prefills[:start]
        # Shortest first, so that what a short prompt leaves over goes to the longer ones; the sort
        # is stable, so equals keep their rotating order.
        queue.sort(key=lambda s: s.pending, reverse=True)
        while queue:
            sequence = queue.pop()
            share = -(-left // (len(queue) + 1))
            rows[sequence] = min(share, sequence.pending)
            left -= rows[sequence]
        return rows

    @staticmethod
    def _cap_logits(sequence: Sequence, rows: int, most: int) -> int:
        """As many of ``rows`` as there are with no more than ``most`` of them wanting logits."""
        return rows - max(0, sequence.logits_rows(rows) - most)

    def _reserve(self, sequence: Sequence, rows: int) -> int:
        """Reserve cells for up to ``rows`` rows; returns how many (0: wait, or was preempted)."""
        if rows == 0:
            return 0
        while not self.cache.make_room(rows):
            if self.kv.free_cells > 0:
                rows = self.kv.free_cells
                break
            youngest = self._running[-1]
            self._preempt(youngest)
            if youngest is sequence:
                return 0
        self.kv.extend(sequence.slot, rows)
        return rows

    def _preempt(self, sequence: Sequence) -> None:
        """Free the cells of a running sequence and put it first in the queue."""
        self._running.remove(sequence)
        self.kv.unlock(sequence.slot)
        self.kv.release(sequence.slot)
        sequence.slot = -1
        sequence.computed = 0
        sequence.status = Status.WAITING
        self._waiting.appendleft(sequence)
        self.preemptions += 1
