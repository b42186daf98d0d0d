"""Guesses what comes next from what the conversation already says (prompt lookup). Pure.

Answers quote: retrieved text, code, names, their own lists. When the last tokens have occurred
before, what followed them then is a guess at what follows now; one pass checks a whole guess. The
answer never depends on guesses, only its speed does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

_NGRAM = 4
_LONGEST_MATCH = 64

# Shorter matches are as often chance as quotation, and a draft of one or two tokens never pays.
_SHORTEST_MATCH = 5
_SHORTEST_DRAFT = 3

# The account, in steps of one row on a processor. A step that also checks n guesses takes as long
# as 1.5 + n / 2 of those, so the guesses pay from (n + 1) / 2 right ones on.
_ALLOWANCE = 1 / 20
_FIRST_CREDIT = 3.0


class Drafts(Protocol):
    """Guesses for one answer, and what became of them."""

    def propose(self, room: int) -> list[int]:
        """At most ``room`` tokens that may come next; often none."""
        ...

    def record(self, drafted: int, accepted: int) -> None:
        """A step has checked ``drafted`` guesses; the first ``accepted`` were right."""
        ...


class NgramIndex:
    """The most recent earlier occurrence of each four tokens in a row.

    ``tokens`` may grow at its end between calls and must not change otherwise. Each token is
    indexed once, in constant time.
    """

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = tokens
        # Four tokens → the position after their last occurrence that something followed.
        self._ends: dict[tuple[int, ...], int] = {}
        self._indexed = _NGRAM - 1  # ends up to here are in the index

    def find(self) -> int | None:
        """The position after the last earlier occurrence of the four tokens at the end."""
        tokens, last = self._tokens, len(self._tokens) - 1
        first = self._indexed + 1
        if first <= last:  # something follows every n-gram that ends there
            columns = (tokens[first - _NGRAM + i : last - _NGRAM + i + 1] for i in range(_NGRAM))
            self._ends.update(zip(zip(*columns, strict=True), range(first, last + 1), strict=True))
            self._indexed = last
        return self._ends.get(tuple(tokens[-_NGRAM:]))

    def match_length(self, position: int) -> int:
        """How many tokens before ``position`` equal those at the end; counts no further than 64."""
        tokens, end = self._tokens, len(self._tokens)
        most = min(position, _LONGEST_MATCH)
        for length in range(most):
            if tokens[position - 1 - length] != tokens[end - 1 - length]:
                return length
        return most

    def follow(self, position: int, count: int) -> list[int]:
        """``count`` tokens from ``position``; behind the last one the copy continues with itself,
        as a repetition would."""
        copied = list(self._tokens[position : position + count])
        period = len(self._tokens) - position
        while len(copied) < count:
            copied.append(copied[-period])
        return copied


class PromptLookup:
    """Proposes drafts for one answer, as long as they pay.

    ``tokens`` is the conversation so far, prompt and answer; it grows as the answer does. A draft
    is as long as the match it rests on, so drafts that are right roughly double in length, up to
    ``longest``, and after a wrong one they start small.

    What drafts may cost is an account: every draft takes its price from it, every right guess pays
    the step it has saved, each token of the answer adds a twentieth of a step, and a draft is only
    as long as the account covers. So whatever the text does, drafts cost at most one step in twenty
    and the first credit; when they keep failing, they become as rare as that.
    ``is_adaptive`` False ignores the account.
    """

    def __init__(self, tokens: Sequence[int], longest: int, *, is_adaptive: bool = True) -> None:
        self._tokens = tokens
        self._index = NgramIndex(tokens)
        self._longest = longest
        self._shortest = min(_SHORTEST_DRAFT, longest)
        self._is_adaptive = is_adaptive
        self._credit = _FIRST_CREDIT
        self._counted = len(tokens)  # tokens that have paid their allowance

    def propose(self, room: int) -> list[int]:
        most = min(room, self._longest, self._covered())
        if most < self._shortest:
            return []
        position = self._index.find()
        if position is None:
            return []
        match = self._index.match_length(position)
        return self._index.follow(position, min(match, most)) if match >= _SHORTEST_MATCH else []

    def record(self, drafted: int, accepted: int) -> None:
        self._earn(accepted - (drafted + 1) / 2)

    def _covered(self) -> int:
        """How many guesses the account covers if all are wrong."""
        answered = len(self._tokens) - self._counted
        self._counted += answered
        self._earn(answered * _ALLOWANCE)
        return int(2 * self._credit - 1) if self._is_adaptive else self._longest

    def _earn(self, amount: float) -> None:
        most = max(_FIRST_CREDIT, (self._longest + 1) / 2)
        self._credit = min(self._credit + amount, most)
