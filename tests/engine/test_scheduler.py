"""The scheduler alone and over the scripted backend, against running every sequence by itself."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from localassist.engine.batch import build_batch
from localassist.engine.kv_cache import Copy, KvCache
from localassist.engine.prefix_cache import PrefixCache
from localassist.engine.scheduler import Plan, Scheduler
from localassist.engine.scripted_backend import ScriptedBackend, hashed_letters
from localassist.engine.sequence import Sequence, Status


@dataclass
class Harness:
    """A worker without threads: greedy sampling, answers of a fixed length."""

    cells: int
    batch_tokens: int
    max_sequences: int
    logits_rows: int = 16
    spare_slots: int = 2
    can_share: bool = True
    answer_left: dict[Sequence, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        slots = self.max_sequences + self.spare_slots
        kv = KvCache(cells=self.cells, slots=slots)
        self.backend = ScriptedBackend(
            hashed_letters,
            cells=self.cells,
            sequence_ids=slots,
            batch_rows=self.batch_tokens,
            logits_rows=self.logits_rows,
            can_truncate=self.can_share,
        )
        self.scheduler = Scheduler(
            kv,
            PrefixCache(kv, can_share=self.can_share),
            max_sequences=self.max_sequences,
            batch_tokens=self.batch_tokens,
            logits_rows=self.logits_rows,
        )

    def add(self, prompt: list[int], answer_tokens: int) -> Sequence:
        sequence = Sequence(list(prompt))
        self.answer_left[sequence] = answer_tokens
        self.scheduler.add(sequence)
        return sequence

    def step(self) -> Plan:
        plan = self.scheduler.schedule()
        for operation in plan.operations:
            if isinstance(operation, Copy):
                self.backend.copy_sequence(operation.source, operation.target, operation.length)
            else:
                self.backend.truncate_sequence(operation.slot, operation.length)
        batch, outputs = build_batch(plan.chunks)
        self.backend.forward(batch)
        self.scheduler.complete(plan)
        for output in outputs:
            sequence = output.sequence
            sequence.tokens.append(int(self.backend.logits(output.row).argmax()))
            self.answer_left[sequence] -= 1
            if self.answer_left[sequence] == 0:
                self.scheduler.finish(sequence)
        self.scheduler.check_integrity()
        return plan

    def run(self) -> None:
        while self.scheduler.has_work:
            assert self.step().chunks


def alone(prompt: list[int], answer_tokens: int) -> list[int]:
    """What the backend's model says when nothing else exists."""
    backend = ScriptedBackend()
    tokens = list(prompt)
    for _ in range(answer_tokens):
        tokens.append(int(backend._compute_logits(tokens).argmax()))
    return tokens


requests = st.lists(
    st.tuples(
        st.lists(st.integers(97, 98), min_size=1, max_size=14),
        st.integers(1, 6),
        st.integers(0, 6),
    ),
    min_size=1,
    max_size=7,
)


@settings(deadline=None, max_examples=150)
@given(
    requests=requests,
    cells=st.integers(20, 60),
    batch_tokens=st.integers(4, 24),
    max_sequences=st.integers(1, 4),
    spare_slots=st.integers(0, 3),
    can_share=st.booleans(),
)
def test_batched_equals_alone(
    requests: list[tuple[list[int], int, int]],
    cells: int,
    batch_tokens: int,
    max_sequences: int,
    spare_slots: int,
    can_share: bool,
) -> None:
    """Whatever arrives when, however few cells: every answer is what it would be alone."""
    harness = Harness(
        cells, batch_tokens, max_sequences, spare_slots=spare_slots, can_share=can_share
    )
    sequences: list[Sequence] = []
    for prompt, answer_tokens, steps_before in requests:
        for _ in range(steps_before):
            if harness.scheduler.has_work:
                harness.step()
        sequences.append(harness.add(prompt, answer_tokens))
    harness.run()
    for sequence, (prompt, answer_tokens, _) in zip(sequences, requests, strict=True):
        assert sequence.tokens == alone(prompt, answer_tokens)
        assert sequence.status is Status.FINISHED
    assert all(sum(rows.values()) <= batch_tokens for rows in harness.backend.passes)
    assert all(len(rows) <= max_sequences for rows in harness.backend.passes)


@settings(deadline=None, max_examples=80)
@given(requests=requests, cancel_at=st.integers(0, 25), victim=st.integers(0, 6))
def test_a_cancel_at_any_step_leaks_no_cell(
    requests: list[tuple[list[int], int, int]], cancel_at: int, victim: int
) -> None:
    harness = Harness(cells=30, batch_tokens=6, max_sequences=3)
    sequences = [harness.add(prompt, answer_tokens) for prompt, answer_tokens, _ in requests]
    for _ in range(cancel_at):
        if harness.scheduler.has_work:
            harness.step()
    harness.scheduler.finish(sequences[victim % len(sequences)])
    harness.scheduler.check_integrity()
    harness.run()
    assert harness.scheduler.kv.pinned_cells == 0
    harness.scheduler.cache.clear()
    assert harness.scheduler.kv.used_cells == 0
    for sequence, (prompt, answer_tokens, _) in zip(sequences, requests, strict=True):
        expected = alone(prompt, answer_tokens)
        assert sequence.tokens == expected[: len(sequence.tokens)]


def counts(plan: Plan) -> dict[Sequence, int]:
    return {chunk.sequence: chunk.count for chunk in plan.chunks}


def test_decode_rows_come_before_prefill_and_a_long_prompt_is_chunked() -> None:
    harness = Harness(cells=200, batch_tokens=8, max_sequences=4)
    talking = harness.add([97, 98], 20)
    harness.step()
    long_prompt = harness.add(list(range(40)), 1)
    for _ in range(5):
        assert counts(harness.step()) == {talking: 1, long_prompt: 7}


def test_a_long_prompt_beside_answers_leaves_steps_short() -> None:
    harness = Harness(cells=2000, batch_tokens=512, max_sequences=9)
    talking = [harness.add([97, 98 + i], 30) for i in range(2)]
    harness.step()
    long_prompt = harness.add(list(range(1000)), 1)
    assert counts(harness.step())[long_prompt] == 16
    talking += [harness.add([97, 100 + i], 30) for i in range(6)]
    harness.step()
    assert counts(harness.step()) == {**dict.fromkeys(talking, 1), long_prompt: 64}
    for sequence in talking:
        harness.scheduler.finish(sequence)
    assert counts(harness.step()) == {long_prompt: 512}


def test_prefills_share_the_batch_evenly_and_leave_nothing_unused() -> None:
    harness = Harness(cells=200, batch_tokens=12, max_sequences=4)
    short, long_a, long_b = (harness.add([t] * n, 1) for t, n in ((1, 2), (2, 30), (3, 30)))
    assert counts(harness.step()) == {short: 2, long_a: 5, long_b: 5}


def test_no_more_than_max_sequences_run() -> None:
    harness = Harness(cells=200, batch_tokens=8, max_sequences=2)
    for token in range(4):
        harness.add([token, 100], 3)
    assert len(harness.step().chunks) == 2
    assert (harness.scheduler.running, harness.scheduler.waiting) == (2, 2)


def test_the_youngest_is_preempted_and_its_answer_does_not_change() -> None:
    harness = Harness(cells=20, batch_tokens=8, max_sequences=2)
    first, second = harness.add([97] * 5, 12), harness.add([98] * 5, 12)
    harness.run()
    assert harness.scheduler.preemptions > 0
    assert first.tokens == alone([97] * 5, 12)
    assert second.tokens == alone([98] * 5, 12)


def test_idle_sequences_are_evicted_before_anyone_is_preempted() -> None:
    harness = Harness(cells=20, batch_tokens=16, max_sequences=2)
    harness.add([97] * 12, 1)
    harness.run()
    assert harness.scheduler.kv.used_cells == 12
    harness.add([98] * 12, 4)
    harness.run()
    assert harness.scheduler.cache.evictions == 1
    assert harness.scheduler.preemptions == 0


def test_a_sequence_waits_while_its_tokens_do_not_fit_beside_the_others() -> None:
    harness = Harness(cells=20, batch_tokens=16, max_sequences=4)
    harness.add([97] * 10, 3)
    harness.step()
    harness.add([98] * 15, 1)
    harness.step()
    assert (harness.scheduler.running, harness.scheduler.waiting) == (1, 1)
    harness.run()
    assert harness.scheduler.preemptions == 0


def test_the_cached_prefix_is_counted_once_at_first_admission() -> None:
    harness = Harness(cells=60, batch_tokens=16, max_sequences=2)
    harness.add([1, 2, 3, 4], 2)
    harness.run()
    follow_up = harness.add([1, 2, 3, 4, 5, 6], 1)
    harness.run()
    assert follow_up.cached_tokens == 4


def test_rows_with_logits_stay_within_their_limit_without_stopping_others() -> None:
    harness = Harness(cells=100, batch_tokens=32, max_sequences=2, logits_rows=6)
    scored = Sequence(list(range(20)), scored_from=0)
    harness.answer_left[scored] = 99
    harness.scheduler.add(scored)
    other = harness.add([97], 3)
    first = harness.scheduler.schedule()
    assert counts(first) == {scored: 5, other: 1}
    batch, outputs = build_batch(first.chunks)
    assert sum(batch.wants_logits) == len(outputs) == 6
    assert np.array_equal(batch.positions, [0, 1, 2, 3, 4, 0])
