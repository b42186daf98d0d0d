"""Threads of a step on quiet and busy machines."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from localassist.engine.crew import Crew

Cost = Callable[[int, int], float]


def quiet(threads: int, rows: int) -> float:
    return (rows + 1) * 0.004 / threads**0.6


def busy(threads: int, rows: int) -> float:
    """Whoever has more than one thread waits for the slowest."""
    return quiet(threads, rows) if threads == 1 else 6 * quiet(threads, rows)


def run(crew: Crew, cost: Cost, seconds: float, *, rows: int = 1, start: float = 0) -> list[int]:
    """Steps until the time is over; the threads of each."""
    now, used, noise = start, [], random.Random(5)
    while now < start + seconds:
        threads = crew.threads(rows)
        took = cost(threads, rows) * noise.uniform(0.9, 1.1)
        now += took
        used.append(threads)
        crew.observe(rows, took, now)
    return used


@pytest.mark.parametrize("rows", [1, 8])
def test_a_quiet_machine_keeps_its_threads(rows: int) -> None:
    used = run(Crew(4, 4), quiet, 60, rows=rows)
    assert used.count(4) / len(used) > 0.98


def test_a_busy_machine_gets_one_thread_soon_and_a_quiet_one_all_again() -> None:
    crew = Crew(2, 2)
    run(crew, quiet, 20)
    disturbed = run(crew, busy, 60, start=20)
    assert set(disturbed[10:20]) == {1}
    assert disturbed.count(1) / len(disturbed) > 0.98
    calm_again = run(crew, quiet, 120, start=80)
    assert calm_again[-1] == 2
    assert calm_again.count(2) / len(calm_again) > 0.5


def test_a_machine_that_was_never_quiet_is_found_out() -> None:
    used = run(Crew(4, 4), busy, 60)
    assert used[-1] == 1


def test_one_slow_step_changes_nothing_for_long() -> None:
    crew = Crew(2, 2)
    run(crew, quiet, 3)
    crew.observe(1, 5.0, 8.0)
    used = run(crew, quiet, 3, start=8)
    assert used.count(2) / len(used) > 0.9


def test_prompts_are_no_measure_and_one_thread_has_no_choice() -> None:
    crew = Crew(2, 2)
    for i in range(100):
        crew.observe(512, 1.0 + i, i * 10.0)
    assert crew.threads(512) == 2
    assert set(run(Crew(1, 1), busy, 10)) == {1}


def test_steps_of_several_rows_go_along_and_are_judged_apart_from_then_on() -> None:
    crew = Crew(2, 4)
    run(crew, busy, 60, rows=1)
    assert crew.threads(1) == 1
    assert crew.threads(8) == 2
    run(crew, quiet, 200, rows=8, start=60)
    assert crew.threads(8) == 4
