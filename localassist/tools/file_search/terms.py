"""What a text is about: the stems of its meaningful words, and how telling each is in a pool."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Sequence

from localassist.tools.evidence.words import stem

# Words of asking and of grammar. Others that say little are found by being everywhere.
_STOP_WORDS = frozenset(
    "a about all also an and any are as at be been being but by can could did do does for from had "
    "has have he her him his how i if in into is it its kind many me more most much my name no not "
    "of on one or other our she should so some such than that the their them then there these they "
    "this those to type us was we were what when where which who whom whose why will with would "
    "you your".split()
)
# Chinese, Japanese and Korean are not parted by spaces: pairs of characters stand for words.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+|[^\W_]+")
_UNPARTED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_INITIALS = re.compile(r"\b(?:[A-Za-z]\.){2,}(?:[A-Za-z]\b)?")  # U.N. is UN
_GROUPED = re.compile(r"(?<=\d),(?=\d{3}\b)")  # 10,000 is 10000
_BRITISH = re.compile(r"is(e[ds]?|ing|ations?)$")  # naturalise is naturalize
_SHORTEST_BRITISH = 7  # letters: "rise" and "advise" keep theirs


def terms(text: str) -> list[str]:
    """The terms in the order of the text."""
    plain = _GROUPED.sub("", _INITIALS.sub(lambda m: m.group().replace(".", ""), text))
    found: list[str] = []
    for word in _WORD.findall(plain.lower()):
        if _UNPARTED.match(word):
            found += [word[at : at + 2] for at in range(max(1, len(word) - 1))]
        elif word not in _STOP_WORDS and (len(word) > 1 or word.isdigit()):
            found.append(_root(word))
    return found


def _root(word: str) -> str:
    return stem(_BRITISH.sub(r"iz\1", word) if len(word) >= _SHORTEST_BRITISH else word)


class Weights:
    """The inverse document frequency of terms over a pool of texts. A term of none of them weighs
    most: a text without it does not speak of it."""

    def __init__(self, pool: Sequence[Collection[str]]) -> None:
        self._count = len(pool)
        self._in = Counter(term for text in pool for term in set(text))

    def of(self, term: str) -> float:
        inside = self._in[term]
        return math.log(1 + (self._count - inside + 0.5) / (inside + 0.5))
