"""How many rows of prompts a step may carry beside answers, judged by what steps have taken.

Every row of a prompt makes all running answers wait for their next token. How long depends on
machine, model and the length of the prompt, so it is measured all the time, and corrected. Pure.
"""

from __future__ import annotations

_FEWEST_ROWS = 2
_FRESHNESS = 0.2  # weight of the newest reading among those of quiet steps
_MOST_GROWTH, _MOST_CUT = 1.2, 0.5  # of the rows, from one step to the next


class Pace:
    """Keeps steps with prompts below ``longest_gap`` times the length of those with the same
    answers alone, but lets a prompt have ``_FEWEST_ROWS`` in each.

    The steps with answers alone are remembered by the number of answers. A step with prompts that
    was too long by some factor makes the next one carry fewer rows by that factor, and one that was
    too short more; that settles wherever the costs of rows come from.
    """

    def __init__(self, longest_gap: float = 3.0) -> None:
        self._longest_gap = longest_gap
        self._quiet: dict[int, float] = {}  # answers → seconds of a step with nothing else
        self._rows: float | None = None

    def observe(self, answers: int, prompt_rows: int, seconds: float) -> None:
        """A step of ``answers`` answers and so many rows of prompts took ``seconds``."""
        if answers == 0 or seconds <= 0:
            return
        if prompt_rows == 0:
            known = self._quiet.get(answers, seconds)
            self._quiet[answers] = known + _FRESHNESS * (min(seconds, 2 * known) - known)
            return
        limit = self._limit(answers)
        if limit is None:
            return
        factor = max(_MOST_CUT, min(_MOST_GROWTH, limit / seconds))
        if self._rows is None:
            self._rows = float(prompt_rows)
        if prompt_rows >= int(self._rows):
            wanted = self._rows * factor
        else:  # there were no more rows to read, which says little of what there is room for
            wanted = max(self._rows, prompt_rows * factor) if factor > 1 else prompt_rows * factor
        self._rows = max(float(_FEWEST_ROWS), wanted)

    def prompt_rows(self, answers: int) -> int:
        """Rows of prompts that may share a step with ``answers`` running answers."""
        if self._rows is None:
            # A pass has a price even without rows, taken to be that of one row.
            return max(_FEWEST_ROWS, int((self._longest_gap - 1) * (answers + 1)))
        return max(_FEWEST_ROWS, int(self._rows))

    def _limit(self, answers: int) -> float | None:
        """Seconds that a step with this many answers may take; None before any was quiet."""
        if not self._quiet:
            return None
        nearest = min(self._quiet, key=lambda known: abs(known - answers))
        return self._longest_gap * self._quiet[nearest] * (answers + 1) / (nearest + 1)
