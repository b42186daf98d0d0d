"""Who gets what: numbers and texts dealt out to the slots of a call, so that all fit best."""

from __future__ import annotations

from collections.abc import Sequence

from localassist.tools.guided.sheet import Filled

_IMPOSSIBLE = 1e6
_BEAMS = 64
_LEFT_OUT = -1000.0


def best_assignment(worth: Sequence[Sequence[float | None]]) -> list[tuple[int, int]]:
    """Pairs (row, column), as many as there can be, so that the worths sum up to the most; None is
    a pair that may not be. By the Jonker-Volgenant algorithm of scipy."""
    if not worth or not worth[0]:
        return []
    from scipy.optimize import linear_sum_assignment

    costs = [[_IMPOSSIBLE if value is None else -value for value in row] for row in worth]
    rows, columns = linear_sum_assignment(costs)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(row, column) for row, column in pairs if worth[row][column] is not None]


def apart(offers: Sequence[Sequence[tuple[float, Filled]]]) -> list[Filled | None]:
    """One choice per slot, so that no two share a word and the sum of their worth is the most found
    by a beam; None for a slot that nothing is left for."""
    beams: list[tuple[float, list[Filled | None]]] = [(0.0, [])]
    for rated in offers:
        longer = []
        for total, chosen in beams:
            for worth, filled in rated:
                if not any(other is not None and _share(other, filled) for other in chosen):
                    longer.append((total + worth, [*chosen, filled]))
            longer.append((total + _LEFT_OUT, [*chosen, None]))
        beams = sorted(longer, key=lambda beam: beam[0], reverse=True)[:_BEAMS]
    return beams[0][1]


def _share(one: Filled, other: Filled) -> bool:
    return any(place.meets(taken) for place in one.places for taken in other.places)
