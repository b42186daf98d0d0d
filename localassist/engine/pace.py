"""How many rows of prompts a step may carry beside answers, judged by what steps have taken.

Every row of a prompt makes all running answers wait. A step with prompt rows may take
``LONGEST_GAP`` times as long as one with the answers alone; how many rows that is depends on
machine, model and the length of the conversations, so it is measured all the time. Pure.
"""

from __future__ import annotations

LONGEST_GAP = 3.0
"""The goal is that 95 % of the gaps between tokens are below 4 times the quiet gap."""
_FEWEST_ROWS = 2
_WIDEST_STEP = 96  # wider ones are prompts alone and cost less per row than the mixed steps
_FADING = 0.96
_PRIOR_WEIGHT = 4.0  # in squared rows: how much variety of steps it takes to believe the line


class Pace:
    """A line, seconds ≈ base + slope × rows, through recent steps by fading least squares.

    As long as all steps are equally wide, the slope is taken to be the step's time over its rows
    plus one: a pass has a price even without rows.
    """

    def __init__(self) -> None:
        self._weight = 0.0
        self._rows = 0.0
        self._seconds = 0.0
        self._rows_squared = 0.0
        self._product = 0.0

    def observe(self, rows: int, seconds: float) -> None:
        """A step of ``rows`` rows took ``seconds``."""
        if rows > _WIDEST_STEP:
            return
        self._weight = _FADING * self._weight + 1
        self._rows = _FADING * self._rows + rows
        self._seconds = _FADING * self._seconds + seconds
        self._rows_squared = _FADING * self._rows_squared + rows * rows
        self._product = _FADING * self._product + rows * seconds

    def prompt_rows(self, answers: int) -> int:
        """Rows of prompts that may share a step with ``answers`` running answers."""
        base_rows = self._base_in_rows()
        return max(_FEWEST_ROWS, int((LONGEST_GAP - 1) * (answers + base_rows)))

    def _base_in_rows(self) -> float:
        """What an empty pass would cost, in rows."""
        if self._weight == 0 or self._seconds <= 0:
            return 1.0
        rows, seconds = self._rows / self._weight, self._seconds / self._weight
        prior = seconds / (rows + 1)
        variance = max(0.0, self._rows_squared / self._weight - rows * rows)
        covariance = self._product / self._weight - rows * seconds
        slope = (covariance + _PRIOR_WEIGHT * prior) / (variance + _PRIOR_WEIGHT)
        if slope <= 0:
            return 1.0
        return max(0.0, seconds / slope - rows)
