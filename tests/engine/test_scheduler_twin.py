"""The scheduler over cells that answer, against running every sequence by itself."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localassist.engine.sequence import Sequence, Status
from tests.engine.cell_twin import StoreTwin, alone
from tests.engine.scheduler_bench import Harness, guesser

pytestmark = pytest.mark.usefixtures("little_is_worth_it")


requests = st.lists(
    st.tuples(
        st.lists(st.integers(0, 1), min_size=1, max_size=14),
        st.integers(1, 6),
        st.integers(0, 6),
    ),
    min_size=1,
    max_size=7,
)
harnesses = st.builds(
    Harness,
    cells=st.integers(20, 60),
    batch_tokens=st.integers(4, 24),
    max_sequences=st.integers(1, 4),
    logits_rows=st.integers(4, 12),
    spare_slots=st.integers(0, 6),
    can_share=st.sampled_from([True, True, True, False]),
    idle_cells=st.none() | st.integers(0, 20),
    draft_rows=st.integers(0, 6),
    store=st.none() | st.builds(StoreTwin),
    propose=st.builds(guesser, st.integers(0, 10), st.integers(0, 99)),
)


def disturb(store: StoreTwin | None, random: Random) -> None:
    """Lose, spoil or delay a snapshot now and then."""
    if store is None or not store.entry_of or random.randrange(4):
        return
    key = random.choice(sorted(store.entry_of))
    action = random.randrange(4)
    if action == 0:
        store.discard(key)
    elif action == 1:
        store.spoil(key)
    else:
        store.late[key] = random.choice([1, 3, 1000])


@settings(deadline=None, max_examples=250)
@given(harness=harnesses, requests=requests, chance=st.integers(0, 99))
def test_batched_equals_alone(
    harness: Harness, requests: list[tuple[list[int], int, int]], chance: int
) -> None:
    """Whatever arrives when, however few cells, whatever is guessed or lost: every answer is what
    it would be alone, and every sequence comes to its end."""
    sequences: list[Sequence] = []
    random = Random(chance)
    for prompt, answer_tokens, steps_before in requests:
        for _ in range(steps_before):
            disturb(harness.store, random)
            if harness.scheduler.has_work:
                harness.step()
        sequences.append(harness.add(prompt, answer_tokens))
    harness.run()
    for sequence, (prompt, answer_tokens, _) in zip(sequences, requests, strict=True):
        assert sequence.tokens == alone(prompt, answer_tokens)
        assert sequence.status is Status.FINISHED
    assert harness.scheduler.kv.pinned_cells == 0


@settings(deadline=None, max_examples=150)
@given(
    harness=harnesses,
    requests=requests,
    cancel_at=st.integers(0, 25),
    victims=st.sets(st.integers(0, 6), min_size=1, max_size=3),
)
def test_a_cancel_at_any_step_leaks_no_cell(
    harness: Harness,
    requests: list[tuple[list[int], int, int]],
    cancel_at: int,
    victims: set[int],
) -> None:
    sequences = [harness.add(prompt, answer_tokens) for prompt, answer_tokens, _ in requests]
    for _ in range(cancel_at):
        if harness.scheduler.has_work:
            harness.step()
    for victim in victims:
        harness.scheduler.finish(sequences[victim % len(sequences)])
        harness.check()
    harness.run()
    assert harness.scheduler.kv.pinned_cells == 0
    while harness.scheduler.cache.evict():
        pass
    assert harness.scheduler.kv.used_cells == harness.model.used_cells == 0
    assert harness.scheduler.kv.free_slots == harness.scheduler.kv.total_slots
    for sequence, (prompt, answer_tokens, _) in zip(sequences, requests, strict=True):
        expected = alone(prompt, answer_tokens)
        assert sequence.tokens == expected[: len(sequence.tokens)]


@settings(deadline=None, max_examples=60)
@given(harness=harnesses, requests=requests, turns=st.integers(2, 3))
def test_follow_ups_and_restarts_change_no_answer(
    harness: Harness, requests: list[tuple[list[int], int, int]], turns: int
) -> None:
    """Every conversation goes on from its whole text, each turn in a new process."""
    texts = [prompt for prompt, _, _ in requests]
    for _ in range(turns):
        if max(map(len, texts)) + 10 > harness.cells:
            return
        harness.__post_init__()  # the store is all that is left
        before = [text + [2] for text in texts]
        sequences = [harness.add(text, 3) for text in before]
        harness.run()
        assert [s.tokens for s in sequences] == [alone(text, 3) for text in before]
        while harness.scheduler.cache.save_some():
            harness.check()
        texts = [s.tokens for s in sequences]


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(2, 60), min_size=1, max_size=4),
    answers=st.integers(1, 3),
    draft_rows=st.integers(0, 6),
)
def test_every_answer_gets_a_row_each_step_and_prefills_equal_shares(
    lengths: list[int], answers: int, draft_rows: int
) -> None:
    harness = Harness(1000, 24, 8, draft_rows=draft_rows, propose=guesser(5, 1))
    talking = [harness.add([20 + i], 60) for i in range(answers)]
    harness.step()
    prompts = [harness.add([30 + i] * length, 1) for i, length in enumerate(lengths)]
    while any(prompt.status is not Status.FINISHED for prompt in prompts):
        left = {prompt: prompt.pending for prompt in prompts if prompt.pending}
        chunks = {chunk.sequence: chunk for chunk in harness.step().chunks}
        assert all(chunks[s].count == 1 for s in talking if s.status is Status.RUNNING)
        given = {p: chunks[p].count for p in left if p in chunks}
        starved = [given[p] for p in given if given[p] < left[p]]
        assert not starved or max(given.values()) - min(starved) <= 1
        assert sum(chunk.drafted for chunk in chunks.values()) <= draft_rows
