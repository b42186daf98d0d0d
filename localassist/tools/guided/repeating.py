"""Several calls of one tool: what else the question names beside the values of the first call.

Series of one length go together, one value of each per call; what is named once holds for all of
them. Of two short series side by side, each value goes with each. Pure; no model is asked.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from localassist.tools.evidence import Question
from localassist.tools.guided.draft import Draft
from localassist.tools.guided.series import Series
from localassist.tools.guided.sheet import Filled

_MOST_CALLS = 16
_PAIRED = re.compile(r"\brespective(?:ly)?\b|\beach\b", re.IGNORECASE)


def repeated(draft: Draft, question: Question) -> list[Draft]:
    """The calls that the question asks for, the draft among them; just the draft when there is
    nothing beside it."""
    series = Series(draft, question).all()
    longest = max((len(values) for values in series.values()), default=1)
    if longest < 2:
        return [draft]
    rows = _rows(series, longest, question)
    distinct = {json.dumps([filled.value for filled in row.values()]): row for row in rows}
    made = [replace(draft, filled={**draft.filled, **row}) for row in distinct.values()]
    return made if len(made) > 1 else [draft]


def _rows(
    series: Mapping[str, Sequence[Filled]], longest: int, question: Question
) -> list[dict[str, Filled]]:
    """One row of values per call."""
    several = {name: values for name, values in series.items() if len(values) > 1}
    single = {name: values[0] for name, values in series.items() if len(values) == 1}
    lengths = {len(values) for values in several.values()}
    are_compact = all(_is_compact(values, question) for values in several.values())
    goes_together = len(several) < 2 or not are_compact or _PAIRED.search(question.text) is not None
    if len(lengths) == 1 and goes_together:
        return [
            {**single, **{name: values[index] for name, values in several.items()}}
            for index in range(min(longest, _MOST_CALLS))
        ]
    if are_compact:
        return [
            {**single, **dict(zip(several, chosen, strict=True))}
            for chosen in itertools.islice(itertools.product(*several.values()), _MOST_CALLS)
        ]
    leading = next(values for values in several.values() if len(values) == longest)
    return [
        {**single, **{name: _nearest(values, lead) for name, values in several.items()}}
        for lead in leading[:_MOST_CALLS]
    ]


def _is_compact(values: Sequence[Filled], question: Question) -> bool:
    """The values stand side by side, so that each goes with each of another series."""
    gaps = [
        question.text[one.places[0].end : other.places[0].start]
        for one, other in itertools.pairwise(values)
    ]
    return all(len(re.findall(r"[a-z]+", gap.lower())) <= 2 for gap in gaps)


def _nearest(values: Sequence[Filled], lead: Filled) -> Filled:
    start = lead.places[0].start
    return min(values, key=lambda filled: abs(filled.places[0].start - start))
