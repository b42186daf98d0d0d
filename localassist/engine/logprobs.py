"""Log-probabilities of an answer's tokens: read from rows, handed out with the text they spell.

Made only for answers that were asked to tell them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from localassist.core import TokenLogprob
from localassist.engine.backend import Logits
from localassist.engine.sampler import most_likely
from localassist.errors import GenerationFailed


def read_logprob(
    logits: Logits, token: int, top: int, token_bytes: Callable[[int], bytes]
) -> TokenLogprob:
    """What an untouched row says of ``token`` and of the ``top`` likeliest ones."""
    likeliest: list[int] = []
    if top > 0:
        likeliest = most_likely(logits, min(top, len(logits) - 1)).tolist()
    values = log_probabilities(logits, [token, *likeliest])
    alternatives = zip(likeliest, values[1:], strict=True)
    return TokenLogprob(
        token,
        token_bytes(token),
        values[0],
        tuple(TokenLogprob(other, token_bytes(other), value) for other, value in alternatives),
    )


class LogprobQueue:
    """Entries of tokens in order, from the moment a token is known until its text is shown."""

    def __init__(self) -> None:
        self._entries: deque[TokenLogprob] = deque()
        self._start = 0  # where the first of them begins in the answer, in bytes

    def add(self, *entries: TokenLogprob) -> None:
        self._entries.extend(entries)

    def take(self, shown: int, *, is_last: bool = False) -> tuple[TokenLogprob, ...]:
        """The entries that end within the first ``shown`` bytes of the answer and were not taken
        yet. When no more will be shown, also that of a token shown in part, cut to that part."""
        taken = []
        while self._entries and self._start + len(self._entries[0].data) <= shown:
            entry = self._entries.popleft()
            self._start += len(entry.data)
            taken.append(entry)
        if is_last and self._entries and self._start < shown:
            entry = self._entries.popleft()
            taken.append(replace(entry, data=entry.data[: shown - self._start]))
            self._start = shown
        return tuple(taken)


def log_probabilities(logits: Logits, tokens: Sequence[int]) -> list[float]:
    """Natural logs of the softmax at ``tokens``. Raises GenerationFailed for figures that are no
    numbers."""
    import numpy as np

    highest = logits.max()
    if not np.isfinite(highest):
        raise GenerationFailed("The model leaves no token to choose from.")
    total = np.exp(logits - highest).sum(dtype=np.float64)
    normalizer = float(highest) + float(np.log(total))
    return [float(logits[token]) - normalizer for token in tokens]
