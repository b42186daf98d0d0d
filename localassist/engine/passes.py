"""Which passes to time on an unknown machine, and what their times say. Pure: no model, no clock.

Other programs disturb every reading. They only ever make it longer, so the shortest of several
alternating ones counts; and a pass that got less processor time than its threads could use was
disturbed for certain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

SINGLE, SEVERAL, CHUNK = 1, 8, 64
"""Rows of the passes that are timed: one conversation, several, and a piece of a prompt."""

CLEARLY = 1.1
"""More threads, or another micro-batch, must be this many times as fast to be worth it."""

_HOPELESS = 2.0  # a thread count this much slower than a smaller one ends the search
_ROUNDS, _QUIET_ROUNDS = 8, 3  # undisturbed readings agree, so few are enough
_QUIET_SHARE = 0.8
_SERIES = 4  # the time is shared by the three kinds of passes and the micro-batches


@dataclass(frozen=True, slots=True)
class Pass:
    """One reading. ``share`` is the processor time used, over that of ``threads`` busy threads."""

    rows: int
    threads: int
    seconds: float
    share: float


TimePass = Callable[[int, int], Pass]
"""Time a pass of so many rows on so many threads."""


def thread_candidates(cores: int) -> tuple[int, ...]:
    """From 1 to all cores: halves of them, and three quarters, since hyper-threads and cores of two
    speeds put the best somewhere between."""
    counts = {1, cores, cores * 3 // 4}
    while cores > 1:
        counts.add(cores)
        cores //= 2
    return tuple(sorted(counts - {0}))


def measure(
    time_pass: TimePass,
    *,
    cores: int,
    batch_tokens: int,
    seconds: float,
    clock: Callable[[], float],
) -> Iterator[Pass]:
    """Readings worth having, for about ``seconds``; the most wanted first, so that a large model
    gets at least those. A kind of pass that would not fit any more is left out."""
    end = clock() + seconds
    candidates = thread_candidates(cores)
    found: list[Pass] = []
    for rows in (SINGLE, SEVERAL, CHUNK):
        if rows > batch_tokens or not _fits(found, rows, len(candidates), end - clock()):
            return
        for reading in _series(time_pass, rows, candidates, seconds / _SERIES, clock):
            found.append(reading)
            yield reading
    threads = fewest_threads(found, (SEVERAL, CHUNK))
    for rows in micro_batches(batch_tokens) * _QUIET_ROUNDS:
        if threads is None or not _fits(found, rows, 1, end - clock()):
            return
        reading = time_pass(rows, threads)
        found.append(reading)
        yield reading


def micro_batches(batch_tokens: int) -> tuple[int, ...]:
    """Sizes worth trying, the simplest first."""
    return (batch_tokens, *(size for parts in (4, 2) if (size := batch_tokens // parts) >= CHUNK))


def fewest_threads(passes: Iterable[Pass], rows: Sequence[int]) -> int | None:
    """The fewest threads that are not clearly slower, all kinds of passes counting the same. Kinds
    without a reading do not count; None without any reading."""
    best = best_of(passes)
    kinds = [kind for kind in rows if any(key[0] == kind for key in best)]
    measured = {threads for _, threads in best}
    candidates = [n for n in measured if all((kind, n) in best for kind in kinds)]
    if not kinds or not candidates:
        return None
    costs = {
        n: sum(
            best[kind, n].seconds / min(best[kind, other].seconds for other in candidates)
            for kind in kinds
        )
        for n in candidates
    }
    limit = min(costs.values()) * CLEARLY
    return min(n for n, cost in costs.items() if cost <= limit)


def best_micro_batch(passes: Iterable[Pass], batch_tokens: int, threads: int) -> int:
    """``batch_tokens``, unless a smaller size is clearly faster per row."""
    best = best_of(passes)
    per_row = {
        rows: best[rows, threads].seconds / rows
        for rows in micro_batches(batch_tokens)
        if (rows, threads) in best
    }
    if batch_tokens not in per_row:
        return batch_tokens
    fastest = min(per_row, key=per_row.__getitem__)
    is_clear = per_row[batch_tokens] >= per_row[fastest] * CLEARLY
    return fastest if is_clear else batch_tokens


def best_of(passes: Iterable[Pass]) -> dict[tuple[int, int], Pass]:
    """The shortest reading of each kind, by rows and threads."""
    best: dict[tuple[int, int], Pass] = {}
    for reading in passes:
        key = reading.rows, reading.threads
        if key not in best or reading.seconds < best[key].seconds:
            best[key] = reading
    return best


def is_quiet(passes: Iterable[Pass]) -> bool:
    """Whether the best reading of every kind had the processors it asked for."""
    return all(reading.share >= _QUIET_SHARE for reading in best_of(passes).values())


def _series(
    time_pass: TimePass,
    rows: int,
    candidates: Sequence[int],
    seconds: float,
    clock: Callable[[], float],
) -> Iterator[Pass]:
    """All candidates in turn, forwards and backwards, until the time is up."""
    end = clock() + seconds
    best: dict[int, float] = {}
    found: list[Pass] = []
    for threads in candidates:
        if rows == SINGLE:
            time_pass(rows, threads)  # new threads are started in the first pass
        reading = time_pass(rows, threads)
        found.append(reading)
        best[threads] = reading.seconds
        yield reading
        if reading.seconds > _HOPELESS * min(best.values()):
            break
    order = list(best)
    for turn in range(1, _ROUNDS):
        is_enough = turn >= _QUIET_ROUNDS and is_quiet(found)
        if is_enough or clock() + sum(best.values()) > end:
            return
        order.reverse()
        for threads in order:
            reading = time_pass(rows, threads)
            found.append(reading)
            yield reading


def _fits(found: Sequence[Pass], rows: int, candidates: int, seconds: float) -> bool:
    """Whether ``rows`` on every candidate take at most ``seconds``: a row of a large pass never
    costs more than one of a small pass."""
    if not found:
        return True
    per_row = min(reading.seconds / reading.rows for reading in found)
    return per_row * rows * candidates <= seconds
