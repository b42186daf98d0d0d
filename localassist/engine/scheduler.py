"""Decides what each step computes: admit, chunked prefill mixed with decode, drafts, preempt. Pure.

Every step, in this order:

1. Waiting sequences are admitted first come, first served, while there is a place among the
   running ones and their tokens fit beside the cells the running ones hold. A sequence whose
   prefix is on its way from the disk, or just being prefilled by a running one, is passed over.
2. Running sequences with one pending token (decode) get a row each.
3. The rest of the batch is dealt out evenly among the others (prefill); who gets the odd rows
   rotates from step to step. Beside answers it is as much as ``Pace`` allows: every row of a prompt
   makes all of them wait for their next token.
4. Cells are reserved oldest sequence first. When none are left, idle segments are evicted, then the
   youngest running sequence is preempted: its cells become idle and it waits at the front to be
   computed again. Its tokens, sampler and grammar are untouched, so its output is too.
5. What is left over goes to drafts, which never take a cell from anybody.

A step always makes progress: the oldest running sequence can get every cell. Only when all that
wait do so for the disk, and nothing runs, is a plan empty. Knows no model, no text and no thread.

The worker computes the chunks of a plan and reports ``complete``, lets the logits be looked at, and
calls ``settle`` for chunks with drafts.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from enum import Enum, auto

from localassist.engine.kv_cache import KvCache
from localassist.engine.pace import Pace
from localassist.engine.prefix_cache import PrefixCache
from localassist.engine.radix_tree import common_prefix
from localassist.engine.sequence import Sequence, Status

# A sequence waits for a leader that prefills at least so many tokens for it too, but not for ever
# more leaders: when segments cannot be cached, waiting is in vain.
_WORTH_FOLLOWING = 64
_MOST_LEADERS = 4
_DRAFTS_LOST_PER_ANSWER = 4
# Looks at snapshots that do not come any nearer, before their tokens are computed instead. While
# nothing runs looks are rare, as only news from the disk or a long silence leads to one.
_PATIENCE = 200
_IDLE_LOOK = 10


@dataclass(frozen=True, slots=True)
class Chunk:
    """``count`` tokens of a sequence from position ``start``, and the first ``drafted`` ones of its
    draft behind them, to be computed in this step."""

    sequence: Sequence
    start: int
    count: int
    drafted: int = 0

    @property
    def rows(self) -> int:
        return self.count + self.drafted


@dataclass(frozen=True, slots=True)
class Plan:
    """One step: what to compute, for how many answers besides prompts and guesses."""

    chunks: list[Chunk]
    answers: int = 0

    @property
    def rows(self) -> int:
        return sum(chunk.rows for chunk in self.chunks)

    @property
    def drafted(self) -> int:
        return sum(chunk.drafted for chunk in self.chunks)


@dataclass(slots=True)
class _Hold:
    """Why a waiting sequence was passed over."""

    leader: Sequence | None = None
    """It prefills what they share, up to the token ``until``."""
    until: int = 0
    leaders: int = 0
    late: int | None = None
    """Fewest snapshots that it had to wait for so far."""
    looks: int = 0

    @property
    def is_leading(self) -> bool:
        leader = self.leader
        return (
            leader is not None and leader.status is Status.RUNNING and leader.computed < self.until
        )


class _Admission(Enum):
    ADMITTED = auto()
    HELD = auto()
    """The next one may be admitted before it."""
    LATE = auto()
    """So it may, but what this one waits for is on its way from the disk into memory."""
    BLOCKED = auto()
    """Nobody may: it needs the room."""


class Scheduler:
    """Owns the queues of one context, and fills its cells through the prefix cache."""

    def __init__(
        self,
        kv: KvCache,
        cache: PrefixCache,
        *,
        max_sequences: int,
        batch_tokens: int,
        logits_rows: int,
        draft_rows: int = 0,
        pace: Pace | None = None,
    ) -> None:
        """``draft_rows`` is the most that drafts get in a step when one sequence runs alone."""
        assert max_sequences <= min(batch_tokens, logits_rows), "every decode row needs a place"
        assert max_sequences <= kv.total_slots, "every running sequence needs a slot"
        self.kv = kv
        self.cache = cache
        self.preemptions = 0
        self._max_sequences = max_sequences
        self._batch_tokens = batch_tokens
        self._logits_rows = logits_rows
        self._draft_rows = draft_rows if cache.can_share else 0
        self._pace = pace if pace is not None else Pace()
        self._waiting: deque[Sequence] = deque()
        self._holds: dict[Sequence, _Hold] = {}
        self._running: list[Sequence] = []  # oldest admission first
        self._turn = 0
        cache.most_resident = kv.total_slots - max_sequences

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
        self._turn += 1
        self._admit_waiting()
        rows = self._deal_rows()
        chunks: list[Chunk] = []
        # Every sequence is sure of one row with logits; the spare ones are for scores and drafts.
        spare = self._logits_rows - len(self._running)
        for sequence in list(self._running):  # preemption shortens the original
            if sequence.status is not Status.RUNNING:
                continue
            wanted = self._cap_logits(sequence, rows.get(sequence, 0), spare + 1)
            count = self._reserve(sequence, wanted)
            if count > 0:
                chunks.append(Chunk(sequence, sequence.computed, count))
                spare -= max(0, sequence.logits_rows(count) - 1)
        answers = sum(chunk.count == chunk.sequence.pending == 1 for chunk in chunks)
        self._add_drafts(chunks, spare)
        return Plan(chunks, answers)

    def complete(self, plan: Plan) -> None:
        """The chunks of ``plan`` have been computed. What belongs to a prompt is published."""
        for chunk in plan.chunks:
            sequence = chunk.sequence
            is_prompt = sequence.is_prefilling
            sequence.computed += chunk.count
            if chunk.drafted:
                sequence.drafted = sequence.draft
            if is_prompt:
                self.cache.publish(sequence)

    def settle(self, chunk: Chunk) -> None:
        """Keep the cells of drafted tokens that have become the sequence's tokens, and drop the
        others. A draft that nobody has replaced is dropped too. The sequence may have ended."""
        self._settle(chunk.sequence)

    def finish(self, sequence: Sequence) -> None:
        """Remove a sequence, finished or aborted, in any state; its computed prefix stays cached.

        Idempotent.
        """
        if sequence.status is Status.WAITING:
            self._waiting.remove(sequence)
            self._holds.pop(sequence, None)
        elif sequence.status is Status.RUNNING:
            self._leave(sequence)
        sequence.status = Status.FINISHED

    def check_integrity(self) -> None:
        """Every locked cell belongs to a running sequence and the caches add up.

        Holds between steps: after ``complete`` and before the next ``schedule``.
        """
        self.cache.check_integrity(self._running)
        for sequence in self._running:
            assert sequence.status is Status.RUNNING, "a sequence runs that should not"
            assert sequence.computed <= len(sequence.tokens), "more cells than tokens"
        for sequence in self._waiting:
            assert sequence.status is Status.WAITING, "a sequence waits that should not"
            assert sequence.path is None and sequence.computed == 0, "a waiting sequence has cells"
        assert self._holds.keys() <= set(self._waiting), "a sequence is held that does not wait"
        if not self._running:
            assert self.kv.pinned_cells == 0, "cells pinned while nothing runs"

    # Admission.

    def _admit_waiting(self) -> None:
        """Admit whom there is place for, and have idle cells make way for them."""
        index = late = 0
        before = len(self._running)
        while index < len(self._waiting) and len(self._running) < self._max_sequences:
            sequence = self._waiting[index]
            admission = self._admit(sequence)
            if admission is _Admission.BLOCKED:
                break
            if admission is _Admission.LATE:
                late += 1
                if late > self._max_sequences:  # no more are read than can soon be admitted
                    break
            if admission is not _Admission.ADMITTED:
                index += 1
                continue
            del self._waiting[index]
            self._holds.pop(sequence, None)
            sequence.status = Status.RUNNING
            self._running.append(sequence)
        if len(self._running) > before:
            self.cache.trim()

    def _admit(self, sequence: Sequence) -> _Admission:
        """Give the sequence a slot with its longest cached prefix, if it fits now."""
        hold = self._holds.get(sequence)
        if hold is not None and hold.is_leading:
            return _Admission.HELD
        match = self.cache.match(sequence.tokens, sequence.logits_from)
        if not self._running and self.cache.compact(match):
            match = self.cache.match(sequence.tokens, sequence.logits_from)
        if self._follow(sequence, match.length):
            return _Admission.HELD
        needed = len(sequence.tokens) - self.cache.locked_length(match)
        # What the running ones hold and have pending, and one cell each to go on: without them
        # the newcomer would be preempted at once.
        promised = self.kv.pinned_cells + sum(s.pending + 1 for s in self._running)
        if self._running and promised + needed > self.kv.total_cells:
            return _Admission.BLOCKED
        can_wait = hold is None or hold.looks < _PATIENCE
        late = self.cache.claim(sequence, match, can_wait=can_wait)
        if late:
            self._note_late(sequence, late)
            return _Admission.LATE
        sequence.prefill_end = len(sequence.tokens)
        if sequence.cached_tokens is None:
            sequence.cached_tokens = sequence.computed
        return _Admission.ADMITTED

    def _follow(self, sequence: Sequence, length: int) -> bool:
        """Whether a running sequence prefills much of what is to come after the first ``length``
        tokens; then it is the leader until it has done so."""
        hold = self._holds.get(sequence)
        if not self.cache.can_share or (hold is not None and hold.leaders >= _MOST_LEADERS):
            return False
        for leader in self._running:
            if leader.is_disposable or not leader.is_prefilling:
                continue
            end = min(leader.prefill_end, sequence.logits_from)
            shared = common_prefix(leader.tokens, sequence.tokens, 0, end)
            if shared - length >= _WORTH_FOLLOWING and leader.computed < shared:
                hold = self._holds.setdefault(sequence, _Hold())
                hold.leader, hold.until = leader, shared
                hold.leaders += 1
                return True
        return False

    def _note_late(self, sequence: Sequence, late: int) -> None:
        hold = self._holds.setdefault(sequence, _Hold())
        if hold.late is None or late < hold.late:
            hold.late, hold.looks = late, 0
        else:
            hold.looks += 1 if self._running else _IDLE_LOOK

    # Rows and cells.

    def _deal_rows(self) -> dict[Sequence, int]:
        """Rows per sequence: one for each decode, the rest evenly over prefills."""
        rows = {s: 1 for s in self._running if s.pending == 1}
        left = self._batch_tokens - len(rows)
        if rows:
            left = min(left, self._pace.prompt_rows(len(rows)))
        prefills = {s: s.pending for s in self._running if s.pending > 1}
        return rows | _deal(left, prefills, self._turn)

    @staticmethod
    def _cap_logits(sequence: Sequence, rows: int, most: int) -> int:
        """As many of ``rows`` as there are with no more than ``most`` of them wanting logits."""
        return rows - max(0, sequence.logits_rows(rows) - most)

    def _reserve(self, sequence: Sequence, rows: int) -> int:
        """Reserve cells for up to ``rows`` rows; returns how many (0: wait, or was preempted)."""
        if rows == 0:
            return 0
        while self.kv.unpinned_cells == 0:
            youngest = self._running[-1]
            self._preempt(youngest)
            if youngest is sequence:
                return 0
        rows = min(rows, self.kv.unpinned_cells)
        self.cache.make_room(rows)
        self.kv.reserve(sequence.slot, rows)
        return rows

    def _add_drafts(self, chunks: list[Chunk], spare_logits: int) -> None:
        """Append drafts to the chunks of sequences that need nothing else computed."""
        places = {c.sequence: i for i, c in enumerate(chunks) if c.count == c.sequence.pending}
        wanted = {s: len(s.draft) for s in places if s.draft}
        if not wanted:
            return
        spare_rows = self._batch_tokens - sum(chunk.rows for chunk in chunks)
        # The more answers share a pass, the less a guess saves: its row costs as much as theirs.
        worthwhile = self._draft_rows - _DRAFTS_LOST_PER_ANSWER * (len(self._running) - 1)
        left = max(0, min(worthwhile, spare_rows, spare_logits, self.kv.free_cells))
        for sequence, count in _deal(left, wanted, self._turn).items():
            sequence.draft = sequence.draft[:count]
            self.kv.reserve(sequence.slot, count)
            place = places[sequence]
            chunks[place] = replace(chunks[place], drafted=count)

    def _settle(self, sequence: Sequence) -> None:
        drafted = sequence.drafted
        if not drafted:
            return
        sequence.drafted = []
        if sequence.draft is drafted:
            sequence.draft = []
        # The last token is left to be computed, because somebody waits for its logits.
        end = len(sequence.tokens) - 1
        accepted = common_prefix(drafted, sequence.tokens, sequence.computed, end)
        sequence.computed += accepted
        self.kv.cut(sequence.slot, sequence.computed, len(drafted) - accepted)

    # Leaving.

    def _preempt(self, sequence: Sequence) -> None:
        """Turn the cells of a running sequence into idle ones and put it first in the queue."""
        self._leave(sequence)
        sequence.status = Status.WAITING
        self._waiting.appendleft(sequence)
        self.preemptions += 1

    def _leave(self, sequence: Sequence) -> None:
        self._running.remove(sequence)
        self._settle(sequence)
        self.cache.publish(sequence, is_last=True)
        self.cache.release(sequence)


def _deal(rows: int, wanted: dict[Sequence, int], turn: int) -> dict[Sequence, int]:
    """Rows for each, evenly but to nobody more than wanted; odd ones go round with the turns."""
    shares = dict.fromkeys(wanted, 0)
    start = turn % len(wanted) if wanted else 0
    queue = [*shares][start:] + [*shares][:start]
    while rows > 0 and queue:
        each = max(1, rows // len(queue))
        for sequence in queue[:rows]:
            share = min(each, wanted[sequence] - shares[sequence])
            shares[sequence] += share
            rows -= share
        queue = [sequence for sequence in queue if shares[sequence] < wanted[sequence]]
    return shares
