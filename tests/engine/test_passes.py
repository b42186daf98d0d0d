"""What is timed and what follows from it, on machines that are made up."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.engine.passes import (
    CHUNK,
    SEVERAL,
    SINGLE,
    Pass,
    best_micro_batch,
    best_of,
    fewest_threads,
    is_quiet,
    measure,
    micro_batches,
    thread_candidates,
)

Cost = Callable[[int, int], float]


class Machine:
    """Its clock moves only while it computes. ``noise`` makes readings up to so much longer."""

    def __init__(self, cost: Cost, *, noise: float = 0.0, share: float = 1.0) -> None:
        self.now = 0.0
        self.asked: list[tuple[int, int]] = []
        self._cost, self._noise, self._share = cost, noise, share
        self._random = random.Random(7)

    def clock(self) -> float:
        return self.now

    def time_pass(self, rows: int, threads: int) -> Pass:
        self.asked.append((rows, threads))
        seconds = self._cost(rows, threads) * (1 + self._noise * self._random.random())
        self.now += seconds
        return Pass(rows, threads, seconds, self._share)

    def measure(self, *, cores: int, seconds: float = 4.0, batch_tokens: int = 512) -> list[Pass]:
        found = measure(
            self.time_pass,
            cores=cores,
            batch_tokens=batch_tokens,
            seconds=seconds,
            clock=self.clock,
        )
        return list(found)


def scaling(seconds_per_row: float, fixed: float = 0.0) -> Cost:
    """Work that all threads share, and a cost that each thread adds."""
    return lambda rows, threads: seconds_per_row * rows / threads + fixed * threads


def choose(passes: list[Pass]) -> tuple[int | None, int | None]:
    return fewest_threads(passes, (SINGLE,)), fewest_threads(passes, (SEVERAL, CHUNK))


def test_a_small_model_on_a_quiet_machine() -> None:
    machine = Machine(scaling(0.002))
    passes = machine.measure(cores=2)
    assert choose(passes) == (2, 2)
    assert {rows for rows, _ in best_of(passes)} == {SINGLE, SEVERAL, CHUNK, 128, 256, 512}
    assert machine.now < 6


def test_threads_that_only_cost_are_not_chosen() -> None:
    """A single row is little work, so that more threads wait for each other; many rows are not."""
    passes = Machine(scaling(0.001, fixed=0.0008)).measure(cores=8)
    assert choose(passes) == (1, 4)


def test_a_quota_below_the_core_count_is_found() -> None:
    """Threads above the four that really run only add to the time; the search stops there."""
    machine = Machine(lambda rows, threads: rows * 0.001 * max(1 / threads, threads / 16))
    assert choose(machine.measure(cores=64)) == (4, 4)
    assert max(threads for _, threads in machine.asked) < 64


@pytest.mark.parametrize("noise", [0.0, 0.5, 1.0])
def test_noise_does_not_decide(noise: float) -> None:
    """A disturbed machine is read more often, and the shortest readings count."""
    passes = Machine(scaling(0.0005), noise=noise, share=0.5).measure(cores=2, seconds=8)
    assert choose(passes) == (2, 2)
    useless = Machine(lambda rows, _: rows * 0.0005, noise=noise / 2, share=0.5)
    assert choose(useless.measure(cores=2, seconds=8)) == (1, 1)


def test_a_large_model_gets_what_fits_into_the_time() -> None:
    machine = Machine(scaling(0.3))
    passes = machine.measure(cores=2)
    assert {rows for rows, _ in best_of(passes)} == {SINGLE, SEVERAL}
    assert choose(passes) == (2, 2)
    machine = Machine(scaling(60.0))
    assert {rows for rows, _ in best_of(machine.measure(cores=2))} == {SINGLE}


def test_without_readings_nothing_is_decided() -> None:
    assert fewest_threads([], (SINGLE,)) is None
    assert fewest_threads([Pass(1, 2, 1.0, 1.0)], (SEVERAL, CHUNK)) is None
    assert best_micro_batch([], 512, 2) == 512


def test_small_batches_leave_out_what_they_cannot_hold() -> None:
    passes = Machine(scaling(0.001)).measure(cores=2, batch_tokens=8)
    assert {one.rows for one in passes} == {SINGLE, SEVERAL}
    assert micro_batches(8) == (8,)
    assert micro_batches(512) == (512, 128, 256)


@pytest.mark.parametrize(("factor", "expected"), [(1.0, 512), (1.08, 512), (1.2, 128)])
def test_a_micro_batch_must_be_clearly_faster(factor: float, expected: int) -> None:
    passes = [Pass(512, 2, 512.0 * factor, 1), Pass(256, 2, 256.0 * 1.1, 1), Pass(128, 2, 128.0, 1)]
    assert best_micro_batch(passes, 512, 2) == expected
    assert best_micro_batch(passes, 512, 1) == 512


def test_a_disturbed_best_reading_is_noticed() -> None:
    assert is_quiet([Pass(1, 2, 2.0, 0.4), Pass(1, 2, 1.0, 0.95)])
    assert not is_quiet([Pass(1, 2, 1.0, 0.95), Pass(8, 2, 1.0, 0.4)])


@given(st.integers(1, 512))
def test_candidates_go_from_one_thread_to_all(cores: int) -> None:
    candidates = thread_candidates(cores)
    assert candidates[0] == 1 and candidates[-1] == cores
    assert list(candidates) == sorted(set(candidates)) and len(candidates) <= 12


READINGS = st.lists(
    st.builds(
        Pass,
        rows=st.sampled_from([SEVERAL, CHUNK]),
        threads=st.integers(1, 6),
        seconds=st.floats(0.001, 10),
        share=st.just(1.0),
    ),
    min_size=1,
)


@given(READINGS)
def test_the_choice_is_measured_for_every_kind_and_not_clearly_beaten(passes: list[Pass]) -> None:
    best = best_of(passes)
    kinds = {rows for rows, _ in best}
    whole = {n for n in range(1, 7) if all((rows, n) in best for rows in kinds)}
    chosen = fewest_threads(passes, (SEVERAL, CHUNK))
    assert (chosen is None) == (not whole)
    if chosen is not None and len(kinds) == 1:
        (rows,) = kinds
        fastest = min(best[rows, n].seconds for n in whole)
        assert best[rows, chosen].seconds <= fastest * 1.1 + 1e-9
        assert all(best[rows, n].seconds > fastest * 1.1 - 1e-9 for n in whole if n < chosen)
