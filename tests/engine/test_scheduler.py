"""The scheduler over cells that answer, against running every sequence by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localassist.engine import prefix_cache, scheduler
from localassist.engine.batch import Output, build_batch
from localassist.engine.kv_cache import KvCache
from localassist.engine.pace import Pace
from localassist.engine.prefix_cache import PrefixCache
from localassist.engine.scheduler import Plan, Scheduler
from localassist.engine.sequence import Sequence, Status
from tests.engine.cell_twin import ModelTwin, StoreTwin, alone, next_token


class Unhurried(Pace):
    """Prompts may fill every step."""

    def prompt_rows(self, answers: int) -> int:
        return 512


class Frugal(Pace):
    """Prompts get three rows beside answers."""

    def prompt_rows(self, answers: int) -> int:
        return 3


@dataclass
class Harness:
    """A worker without threads: the likeliest token, answers of a fixed length."""

    cells: int
    batch_tokens: int
    max_sequences: int
    logits_rows: int = 16
    spare_slots: int = 6
    can_share: bool = True
    idle_cells: int | None = None
    draft_rows: int = 0
    pace: Pace = field(default_factory=lambda: Unhurried())
    store: StoreTwin | None = None
    propose: Callable[[list[int]], list[int]] = field(default=lambda tokens: [])
    answer_left: dict[Sequence, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.model = ModelTwin()
        kv = KvCache(self.model, cells=self.cells, slots=self.max_sequences + self.spare_slots)
        cache = PrefixCache(kv, self.store, can_share=self.can_share, idle_cells=self.idle_cells)
        self.scheduler = Scheduler(
            kv,
            cache,
            max_sequences=self.max_sequences,
            batch_tokens=self.batch_tokens,
            logits_rows=self.logits_rows,
            draft_rows=self.draft_rows,
            pace=self.pace,
        )

    def add(self, prompt: list[int], answer_tokens: int) -> Sequence:
        sequence = Sequence(list(prompt))
        self.answer_left[sequence] = answer_tokens
        self.scheduler.add(sequence)
        return sequence

    def step(self) -> Plan:
        plan = self.scheduler.schedule()
        batch, outputs = build_batch(plan.chunks)
        assert len(batch) == plan.rows <= self.batch_tokens
        assert len(outputs) == sum(batch.wants_logits) <= self.logits_rows
        answers = self.model.forward(batch)
        self.scheduler.complete(plan)
        for chunk in plan.chunks:
            sequence = chunk.sequence
            rows = [output for output in outputs if output.sequence is sequence]
            if rows and sequence.scored_from is None:
                self.advance(sequence, rows, answers)
            self.scheduler.settle(chunk)
        self.check()
        return plan

    def advance(self, sequence: Sequence, rows: list[Output], answers: list[int]) -> None:
        """Take tokens from row to row, as long as they are what the next row was computed from."""
        draft = sequence.draft
        assert len(rows) == 1 + len(draft), "a draft that is not computed"
        for place, output in enumerate(rows):
            sequence.tokens.append(answers[output.row])
            self.answer_left[sequence] -= 1
            if self.answer_left[sequence] == 0:
                self.scheduler.finish(sequence)
                return
            if place < len(draft) and draft[place] != answers[output.row]:
                break
        sequence.draft = self.propose(sequence.tokens)

    def check(self) -> None:
        """Everything adds up, and the cells of running sequences spell their tokens."""
        self.scheduler.check_integrity()
        assert self.scheduler.kv.used_cells == self.model.used_cells
        for sequence in self.scheduler._running:
            expected = dict(enumerate(sequence.tokens[: sequence.computed]))
            assert self.model.spell(sequence.slot) == expected

    def run(self, most_steps: int = 5000) -> None:
        while self.scheduler.has_work:
            plan = self.step()
            assert plan.chunks or self.store is not None
            most_steps -= 1
            assert most_steps > 0, "no end in sight"


@pytest.fixture(autouse=True, scope="module")
def little_is_worth_it() -> None:
    """Lets short texts do what long ones do: be saved, loaded, waited for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefix_cache, "_WORTH_SAVING", 3)
        patch.setattr(scheduler, "_WORTH_FOLLOWING", 4)
        yield


def guesser(quality: int, seed: int) -> Callable[[list[int]], list[int]]:
    """Drafts of random length, of which each token is right in ``quality`` of ten cases."""
    random = Random(seed)

    def propose(tokens: list[int]) -> list[int]:
        guess = list(tokens)
        for _ in range(random.randrange(5)):
            is_right = random.randrange(10) < quality
            guess.append(next_token(guess) if is_right else 9)
        return guess[len(tokens) :]

    return propose


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
    harness = Harness(cells=2000, batch_tokens=512, max_sequences=9, pace=Pace())
    talking = [harness.add([97, 98 + i], 30) for i in range(2)]
    harness.step()
    long_prompt = harness.add(list(range(1000)), 1)
    assert counts(harness.step())[long_prompt] == Pace().prompt_rows(2)
    talking += [harness.add([97, 100 + i], 30) for i in range(6)]
    harness.step()
    assert counts(harness.step()) == {
        **dict.fromkeys(talking, 1),
        long_prompt: Pace().prompt_rows(8),
    }
    for sequence in talking:
        harness.scheduler.finish(sequence)
    assert counts(harness.step()) == {long_prompt: 512}


def test_prefills_share_the_batch_evenly_and_leave_nothing_unused() -> None:
    harness = Harness(cells=200, batch_tokens=12, max_sequences=4)
    short, long_a, long_b = (harness.add([t] * n, 1) for t, n in ((1, 2), (2, 30), (3, 30)))
    assert counts(harness.step()) == {short: 2, long_a: 5, long_b: 5}


def test_short_prompts_that_keep_coming_do_not_starve_a_long_one() -> None:
    harness = Harness(cells=4000, batch_tokens=512, max_sequences=8, pace=Frugal())
    harness.add([97], 10_000)
    harness.step()
    long_prompt = harness.add(list(range(1000, 1200)), 1)
    steps = shorts = 0
    while long_prompt.status is not Status.FINISHED:
        while harness.scheduler.running + harness.scheduler.waiting < 8:
            shorts += 1
            harness.add([100 + shorts] * 5, 1)
        harness.step()
        steps += 1
        assert steps < 3 * 200, "seven prompts share three rows"


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


def test_what_a_preempted_sequence_has_computed_comes_back_from_the_store() -> None:
    harness = Harness(cells=20, batch_tokens=8, max_sequences=2, store=StoreTwin())
    harness.add([97] * 5, 12)
    harness.add([98] * 5, 12)
    harness.run()
    assert harness.scheduler.preemptions > 0
    assert harness.scheduler.cache.restored_tokens > 5


def test_idle_segments_are_evicted_before_anyone_is_preempted() -> None:
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


def test_a_prompt_that_is_being_prefilled_is_waited_for_and_then_shared() -> None:
    harness = Harness(cells=200, batch_tokens=8, max_sequences=4)
    shared = list(range(100, 124))
    leader = harness.add([*shared, 1], 2)
    follower = harness.add([*shared, 2], 2)
    other = harness.add([9], 9)
    first = harness.step()
    assert set(counts(first)) == {leader, other}  # the one behind is not held back
    harness.run()
    assert follower.cached_tokens == 24
    assert sum(s.tokens == alone([*shared, t], 2) for s, t in ((leader, 1), (follower, 2))) == 2


@pytest.mark.parametrize("is_preempted", [True, False])
def test_followers_go_on_when_their_leader_is_gone(is_preempted: bool) -> None:
    harness = Harness(cells=200, batch_tokens=8, max_sequences=4)
    shared = list(range(100, 124))
    leader = harness.add([*shared, 1], 2)
    follower = harness.add([*shared, 2], 2)
    harness.step()
    assert harness.scheduler.waiting == 1
    if is_preempted:
        harness.scheduler._preempt(leader)
    else:
        harness.scheduler.finish(leader)
    harness.check()
    harness.run()
    assert follower.tokens == alone([*shared, 2], 2)


def test_one_that_is_held_back_can_be_cancelled() -> None:
    harness = Harness(cells=200, batch_tokens=8, max_sequences=4)
    shared = list(range(100, 124))
    harness.add([*shared, 1], 2)
    follower = harness.add([*shared, 2], 2)
    harness.step()
    harness.scheduler.finish(follower)
    harness.check()
    harness.run()
    assert follower.tokens == [*shared, 2]


def test_one_that_waits_for_a_snapshot_lets_others_pass() -> None:
    store = StoreTwin()
    harness = Harness(cells=60, batch_tokens=8, max_sequences=2, store=store)
    text = list(range(100, 120))
    harness.add(text, 1)
    harness.run()
    while harness.scheduler.cache.evict():
        pass
    (entry,) = store.entries()
    store.late[entry.key] = 3
    follow_up, other = harness.add([*text, 1], 1), harness.add([7], 3)
    assert counts(harness.step()) == {other: 1}
    harness.run()
    assert follow_up.cached_tokens == 20


def test_no_more_snapshots_are_read_at_once_than_can_soon_be_used() -> None:
    """What is read stays in memory until it is used: a crowd would fill it. One more than there are
    places, so that one alone never keeps others waiting."""
    store = StoreTwin()
    texts = [[100 + i] * 20 for i in range(12)]
    first = Harness(cells=600, batch_tokens=32, max_sequences=3, spare_slots=20, store=store)
    for text in texts:
        first.add(text, 1)
    first.run()
    while first.scheduler.cache.save_some():
        pass
    store.late = dict.fromkeys(store.entry_of, 2)
    harness = Harness(cells=600, batch_tokens=32, max_sequences=3, spare_slots=20, store=store)
    follow_ups = [harness.add([*text, 1], 1) for text in texts]
    harness.step()
    assert sum(left < 2 for left in store.late.values()) == 3 + 1
    harness.run()
    assert [sequence.cached_tokens for sequence in follow_ups] == [20] * 12


def test_a_plan_is_empty_while_all_wait_for_the_store_but_not_for_ever() -> None:
    store = StoreTwin()
    harness = Harness(cells=60, batch_tokens=32, max_sequences=2, store=store)
    text = list(range(100, 120))
    harness.add(text, 1)
    harness.run()
    while harness.scheduler.cache.evict():
        pass
    (entry,) = store.entries()
    store.late[entry.key] = 10**9
    follow_up = harness.add([*text, 1], 1)
    assert harness.step().chunks == [] and harness.scheduler.has_work
    for _ in range(30):
        if harness.scheduler.has_work:
            harness.step()
    assert follow_up.cached_tokens == 0 and follow_up.tokens == alone([*text, 1], 1)


def test_right_drafts_save_steps_and_wrong_ones_cost_none() -> None:
    steps = {}
    for quality in (0, 10):
        harness = Harness(60, 16, 1, draft_rows=4, propose=guesser(quality, 3))
        sequence = harness.add([1, 2, 3], 24)
        steps[quality] = 0
        while harness.scheduler.has_work:
            harness.step()
            steps[quality] += 1
        assert sequence.tokens == alone([1, 2, 3], 24)
    assert steps[0] == 24 and steps[10] < 12


def test_drafts_are_dealt_evenly() -> None:
    harness = Harness(100, 18, 3, draft_rows=15, propose=lambda tokens: [9] * 5)
    sequences = [harness.add([60 + i], 30) for i in range(3)]
    harness.step()
    for _ in range(3):
        drafted = {c.sequence: c.drafted for c in harness.step().chunks}
        assert drafted.keys() == set(sequences) and sorted(drafted.values()) == [2, 2, 3]


def test_many_answers_leave_no_rows_to_drafts() -> None:
    harness = Harness(100, 18, 5, draft_rows=15, propose=lambda tokens: [9] * 5)
    for i in range(5):
        harness.add([60 + i], 30)
    harness.step()
    assert sum(chunk.drafted for chunk in harness.step().chunks) == 0


def test_drafts_take_no_cell_from_anybody() -> None:
    harness = Harness(40, 16, 1, draft_rows=6, propose=lambda tokens: [9] * 5)
    harness.add([50] * 25, 1)
    harness.run()  # leaves idle cells
    harness.add([60], 30)
    narrowest = 5
    while free := harness.scheduler.kv.free_cells:
        (chunk,) = harness.step().chunks
        assert chunk.drafted <= free - 1
        narrowest = min(narrowest, chunk.drafted)
    assert narrowest == 0 and harness.scheduler.cache.evictions == 0


def test_a_draft_that_nobody_replaces_is_computed_once() -> None:
    harness = Harness(60, 16, 1, draft_rows=6)
    sequence = Sequence([1, 2, 3], draft=[8, 9])
    harness.scheduler.add(sequence)
    plan = harness.scheduler.schedule()
    assert plan.rows == 5
    harness.model.forward(build_batch(plan.chunks)[0])
    harness.scheduler.complete(plan)
    sequence.tokens += [8, 7]
    harness.scheduler.settle(plan.chunks[0])
    assert sequence.computed == 4 and sequence.draft == []
    harness.check()
    assert harness.scheduler.schedule().rows == 1


def test_models_that_cannot_share_are_not_speculated_on() -> None:
    harness = Harness(60, 16, 1, can_share=False, draft_rows=4, propose=guesser(10, 3))
    sequence = harness.add([1, 2], 8)
    for _ in range(8):
        (chunk,) = harness.step().chunks
        assert chunk.drafted == 0
    assert sequence.status is Status.FINISHED


def test_cells_of_accepted_drafts_are_kept_when_the_sequence_ends_with_them() -> None:
    harness = Harness(60, 16, 1, draft_rows=8, propose=guesser(10, 3))
    sequence = harness.add([1, 2, 3], 24)
    harness.run()
    again = harness.add([*sequence.tokens, 1], 1)
    harness.run()
    assert again.cached_tokens == len(sequence.tokens) - 1


def test_idle_cells_make_way_when_something_starts() -> None:
    harness = Harness(200, 16, 2, idle_cells=10)
    for token in range(5):
        harness.add([token] * 6, 1)
        harness.run()
    harness.add([9, 9], 4)
    harness.step()
    kv = harness.scheduler.kv
    assert kv.used_cells - kv.pinned_cells <= 10


def test_rows_with_logits_stay_within_their_limit_without_stopping_others() -> None:
    harness = Harness(cells=100, batch_tokens=32, max_sequences=2, logits_rows=6)
    scored = Sequence(list(range(20)), scored_from=0)
    harness.scheduler.add(scored)
    other = harness.add([97], 3)
    first = harness.scheduler.schedule()
    assert counts(first) == {scored: 5, other: 1}
    batch, outputs = build_batch(first.chunks)
    assert sum(batch.wants_logits) == len(outputs) == 6
    assert batch.positions == [0, 1, 2, 3, 4, 0]
