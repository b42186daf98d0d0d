"""How well a search answers at all, and what share of that each of its results has.

The factor is a logistic function of two figures that mean the same in a store of three paragraphs
and of ten thousand: the best cosine, and how much of what is asked about stands near the best hits,
words of asking aside: no document need have those. It was fitted with the packaged embedder; see
``docs/retrieval.md`` for how often it is right.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from localassist.retrieval.analysis import analyse
from localassist.retrieval.lexical import Statistics, idf, query_terms

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from localassist.retrieval.segment import Segment

LOOKED_AT = 3
"""Best hits that the factor is computed from."""

_COSINE_WEIGHT, _WORDS_WEIGHT, _BIAS = 18.55, 8.43, -11.70
# Units that no word occurs in, added to every store: in a small one all words are about as rare,
# whether they occur in it or not.
_SMOOTHING_UNITS = 100
_REACH = 1
# Words that ask, address somebody or carry nothing; stop words of the file's language go anyway.
_ASKING = frozenset(
    "how what where when which who whom whose why do does did done can could should would may "
    "might must shall has have had having i my me mine you your yours we our us he she his her "
    "him its am been being were many much long far often come comes came get gets got go goes "
    "tell say said about also any some there most more kind type name named called please wie was "
    "wo wann wer wen wem wessen welche welcher welches welchen warum wieso weshalb womit wofür "
    "woher wohin viel viele lange hoch oft darf dürfen können muss müssen soll sollte gibt haben "
    "hast bist mein meine man heißt bitte comment combien quand quel quelle quels quelles quoi "
    "pourquoi est ce dois peut peux puis faut mon ma mes on cuánto cuánta cuántos cuántas cuándo "
    "cuál cuáles quién quiénes dónde cómo qué hay puedo debo mi quanto quanta quanti quante "
    "quando quale quali dove perché".split()
)
_WORD = re.compile(r"[^\W_]+")
# The short side of an apostrophe: what's, l'entrée.
_CLITIC = re.compile(
    r"(?<=\w)['’](?:s|t|d|m|re|ve|ll)\b|\b(?:[cdjlmnst]|qu)['’](?=\w)", re.IGNORECASE
)
_SHARE_SCALE = 12.0


def of_best(
    text: str,
    best: Sequence[tuple[Segment, int, NDArray[np.float64]]],
    statistics: Statistics,
) -> float:
    """How likely it is that the best hits answer ``text``, 0 to 1. ``best`` are segment, unit and
    the six scores of each; ``statistics`` those of the question's terms."""
    cosine = max(float(parts[0]) for _, _, parts in best)
    covered = max(_words_covered(text, segment, unit, statistics) for segment, unit, _ in best)
    return _logistic(_BIAS + _COSINE_WEIGHT * cosine + _WORDS_WEIGHT * covered)


def share(fused: float, top: float) -> float:
    """1 for the best hit, less for those below it: a half at a distance of 8, where of the excerpts
    that answer a question nine in ten are above."""
    return math.exp((fused - top) / _SHARE_SCALE)


def _words_covered(text: str, segment: Segment, unit: int, statistics: Statistics) -> float:
    """The part of what is asked about, weighed by IDF, that stands in the unit or beside it."""
    terms = query_terms(_asked_about(text), [segment.language])
    there = set(analyse(segment.window_text(unit, _REACH), segment.language))
    documents = statistics.documents + _SMOOTHING_UNITS
    weights = {term: idf(documents, statistics.frequencies["unit"].get(term, 0)) for term in terms}
    whole = sum(weights.values())
    return sum(weights[term] for term in terms if term in there) / whole if whole else 0.0


def _asked_about(question: str) -> str:
    words = _WORD.findall(_CLITIC.sub(" ", question))
    return " ".join(word for word in words if word.lower() not in _ASKING)


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value))
