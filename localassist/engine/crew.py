"""How many threads compute a step: fewer while other programs keep the processor busy.

The threads of a pass wait for each other hundreds of times. When another program takes a core from
one of them, all wait for it, and two threads may be ten times slower than one. Pure; the worker
reports what steps took.
"""

from __future__ import annotations

from collections import deque
from statistics import median

_WIDEST_STEP = 64  # wider ones are prompts, whose cost per row depends on what they stand behind
_REMEMBERED = 5
_FIRST_LOOK = 2  # steps after which the first other number is tried: each may be a slow one
_READINGS = 2  # of another number of threads, of which the better one counts
_BETTER = 0.9  # what that must take of the present one's time to replace it
_SLOW = 2.5  # times the calm cost: a reason to look at once
_FORGETTING = 1.005  # per step; conversations grow, and with them the calm cost
_FIRST_PAUSE, _LONGEST_PAUSE = 5.0, 60.0  # seconds between looks


class Crew:
    """Threads for steps of one row and of several, up to what was found best on a quiet machine.

    Now and then, and at once when steps have become slow, another number is tried for two steps,
    and kept when it is faster. Looks that change nothing become rare.
    """

    def __init__(self, single: int, several: int) -> None:
        self._shifts = {True: _Shift(single), False: _Shift(several)}

    def threads(self, rows: int) -> int:
        """For a step of so many rows."""
        return self._shifts[rows == 1].threads

    def observe(self, rows: int, seconds: float, now: float) -> None:
        """A step of ``rows`` rows, on as many threads as ``threads`` said, took ``seconds`` and
        ended at ``now``, on any clock that only goes forward."""
        if rows > _WIDEST_STEP:
            return
        shift, other = self._shifts[rows == 1], self._shifts[rows != 1]
        # A pass has a price even without rows.
        if shift.observe(seconds / (rows + 1), now):
            other.follow(shift)  # what disturbs the one disturbs the other


class _Shift:
    """One kind of step: which numbers of threads there are, and what the present one takes."""

    def __init__(self, most: int) -> None:
        self._numbers = [most]  # and its halves, down to 1
        while self._numbers[-1] > 1:
            self._numbers.append(self._numbers[-1] // 2)
        self._level = 0
        self._costs: deque[float] = deque(maxlen=_REMEMBERED)
        self._calm: float | None = None
        self._trial: int | None = None
        self._trial_costs: list[float] = []
        self._last_trial = 0
        self._pause = _FIRST_PAUSE
        self._next_look = 0.0

    @property
    def threads(self) -> int:
        return self._numbers[self._level if self._trial is None else self._trial]

    def observe(self, cost: float, now: float) -> bool:
        """Whether that has changed the number of threads for good."""
        if len(self._numbers) == 1:
            return False
        if self._trial is not None:
            return self._judge(self._trial, cost, now)
        self._costs.append(cost)
        if len(self._costs) < (_FIRST_LOOK if self._calm is None else _REMEMBERED):
            return False
        usual = median(self._costs)
        self._calm = usual if self._calm is None else min(usual, self._calm * _FORGETTING)
        if usual > _SLOW * self._calm:
            self._calm = usual  # one look for each time it becomes slow
            self._begin(len(self._numbers) - 1 if self._level == 0 else 0)
        elif now >= self._next_look:
            self._begin((self._last_trial + 1) % len(self._numbers))
        return False

    def follow(self, other: _Shift) -> None:
        """Go to where the other one has gone."""
        self._settle(min(other._level, len(self._numbers) - 1))

    def _begin(self, level: int) -> None:
        if level == self._level:
            level = (level + 1) % len(self._numbers)
        self._trial = self._last_trial = level
        self._trial_costs = []

    def _judge(self, level: int, cost: float, now: float) -> bool:
        """Take a reading of the number on trial; decide after the last one."""
        usual = median(self._costs)
        self._trial_costs.append(cost)
        if len(self._trial_costs) < _READINGS and cost < _SLOW * usual:
            return False
        self._trial = None
        is_better = min(self._trial_costs) < _BETTER * usual
        if is_better:
            self._settle(level)
        else:
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        self._next_look = now + self._pause
        return is_better

    def _settle(self, level: int) -> None:
        self._level, self._trial, self._calm = level, None, None
        self._costs.clear()
        self._pause = _FIRST_PAUSE
