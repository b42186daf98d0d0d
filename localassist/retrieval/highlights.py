"""Which words of a text a query asks for, for people who look at search results."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from localassist.retrieval.analysis import analyse

_WORD = re.compile(r"[^\W_]+")


def highlights(text: str, queries: Iterable[str], language: str) -> list[tuple[int, int]]:
    """Start and end of the words of ``text``, in code points and in order, that count as the same
    as a word of a query. ``language`` is the text's."""
    wanted = {term for query in queries for term in analyse(query, language)}
    found: list[tuple[int, int]] = []
    for word in _WORD.finditer(text):
        for start, end in _hits(word.group(), wanted, language):
            start, end = start + word.start(), end + word.start()
            if found and start <= found[-1][1]:
                found[-1] = found[-1][0], max(end, found[-1][1])
            else:
                found.append((start, end))
    return found


def _hits(word: str, wanted: Collection[str], language: str) -> list[tuple[int, int]]:
    terms = analyse(word, language)
    if len(terms) <= 1:
        return [(0, len(word))] if terms and terms[0] in wanted else []
    # A script without spaces: its terms are pairs of characters.
    pairs = ((at, at + 2) for at in range(len(word) - 1))
    return [pair for pair in pairs if set(analyse(word[slice(*pair)], language)) & set(wanted)]
