"""The scheduler: who gets rows, cells and slots, and who waits."""

from __future__ import annotations

import pytest

from localassist.engine.batch import build_batch
from localassist.engine.pace import Pace
from localassist.engine.scheduler import Plan
from localassist.engine.sequence import Sequence, Status
from tests.engine.cell_twin import StoreTwin, alone
from tests.engine.scheduler_bench import Frugal, Harness

pytestmark = pytest.mark.usefixtures("little_is_worth_it")


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
