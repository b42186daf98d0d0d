"""Logits → the next token, by numpy over one row; the same for every backend.

Stages, in this order: logit bias, penalties, temperature, top-k, top-p, min-p, draw. Stages that
would change nothing cost nothing. Penalties look at the answer only, never at the prompt, as the
hosted API counts them.

A draw depends on the seed and on the token's place in the answer, on nothing else: no generator has
a state that must be kept, replayed or rolled back. An answer is therefore the same whether it was
produced in one go, resumed, preempted, or guessed ahead and checked.

Nothing sorts the vocabulary, and nothing that may be chosen is left out: each stage first bounds
what it can keep, so that only few tokens need an order.
"""

from __future__ import annotations

import math
import secrets
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from localassist.core import SamplingParams
from localassist.errors import GenerationFailed, InvalidRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from localassist.engine.backend import Logits

    Tokens = NDArray[np.intp]
    Weights = NDArray[np.float32]
else:
    Logits = Tokens = Weights = Any

MAX_STOP_STRINGS = 64
COLDEST = 1e-4
"""Temperatures below mean the likeliest token: logits divided by them overflow long before another
choice gets likely."""
_SEED_BITS = 64
_GROUPS_PER_TOKEN = 16
_BLOCK = 256


def check_sampling(params: SamplingParams, vocab_size: int) -> None:
    """Raise InvalidRequest, naming the parameter, for values no stage can honour."""
    _check_range("temperature", params.temperature, 0.0, 100.0)
    _check_range("top_p", params.top_p, 0.0, 1.0)
    _check_range("min_p", params.min_p, 0.0, 1.0)
    _check_range("repeat_penalty", params.repeat_penalty, 0.01, 100.0)
    _check_range("presence_penalty", params.presence_penalty, -100.0, 100.0)
    _check_range("frequency_penalty", params.frequency_penalty, -100.0, 100.0)
    _check_range("top_k", params.top_k, 0, math.inf)
    if params.top_logprobs is not None:
        _check_range("top_logprobs", params.top_logprobs, 0, vocab_size)
    if params.max_tokens is not None:
        _check_range("max_tokens", params.max_tokens, 1, math.inf)
    if len(params.stop) > MAX_STOP_STRINGS:
        raise InvalidRequest(f"At most {MAX_STOP_STRINGS} stop strings are possible.", param="stop")
    if "" in params.stop:
        raise InvalidRequest("A stop string must not be empty.", param="stop")
    for token, bias in params.logit_bias.items():
        if not 0 <= token < vocab_size:
            raise InvalidRequest(f"The model has no token {token}.", param="logit_bias")
        if math.isnan(bias) or bias == math.inf:
            raise InvalidRequest(f"{bias} is not a usable bias.", param="logit_bias")


def _check_range(name: str, value: float, lowest: float, highest: float) -> None:
    if not lowest <= value <= highest:  # also refuses NaN
        raise InvalidRequest(
            f"Invalid '{name}': expected a value from {lowest} to {highest}, "
            f"but got {value} instead.",
            param=name,
        )


class Sampler:
    """Chooses the tokens of one answer as checked ``params`` ask for. A missing seed is drawn."""

    def __init__(self, params: SamplingParams) -> None:
        self._params = params
        self._is_greedy = params.temperature < COLDEST or params.top_k == 1 or params.top_p == 0
        seed = secrets.randbits(_SEED_BITS) if params.seed is None else params.seed
        self._seed = seed % 2**_SEED_BITS
        self._adjustments = _Adjustments(params)

    def choose(self, logits: Logits, index: int) -> int:
        """The token for place ``index`` of the answer; ``logits`` are as before afterwards.

        Minus infinity marks a token that may not come. Raises GenerationFailed when none may, or
        when the model's figures are no numbers.
        """
        adjusted = self._adjustments.tokens
        if len(adjusted) == 0:
            return self._choose(logits, index)
        before = logits[adjusted]
        logits[adjusted] = self._adjustments.apply(before)
        try:
            return self._choose(logits, index)
        finally:
            logits[adjusted] = before

    def accept(self, token: int) -> None:
        """Remember a token of the answer, whether chosen, forced or produced before a restart."""
        self._adjustments.remember(token)

    def _choose(self, logits: Logits, index: int) -> int:
        likeliest = int(logits.argmax())
        highest = float(logits[likeliest])
        if not math.isfinite(highest):
            raise GenerationFailed("The model leaves no token to choose from.")
        if self._is_greedy:
            return likeliest
        return self._draw(logits, highest, index)

    def _draw(self, logits: Logits, highest: float, index: int) -> int:
        import numpy as np

        params = self._params
        tokens: Tokens | None = None  # None: all of them
        if 0 < params.top_k < len(logits):
            tokens = most_likely(logits, params.top_k)
            logits = logits[tokens]
        weights: Weights = logits - np.float32(highest)
        if params.temperature != 1:
            weights /= np.float32(params.temperature)
        np.exp(weights, out=weights)
        if params.top_p < 1:
            kept = _nucleus(weights, params.top_p)
            tokens, weights = kept if tokens is None else tokens[kept], weights[kept]
        if params.min_p > 0:
            kept = np.flatnonzero(weights >= params.min_p)
            tokens, weights = kept if tokens is None else tokens[kept], weights[kept]
        place = _locate(weights, uniform(self._seed, index))
        return place if tokens is None else int(tokens[place])


class _Adjustments:
    """Bias and penalties on the few logits they concern, in columns that grow.

    One column entry per token with a bias or, when there are penalties, in the answer.
    """

    def __init__(self, params: SamplingParams) -> None:
        import numpy as np

        self._repeat = np.float32(params.repeat_penalty)
        self._frequency = np.float32(params.frequency_penalty)
        self._presence = np.float32(params.presence_penalty)
        self._has_penalties = (
            params.repeat_penalty != 1
            or params.frequency_penalty != 0
            or params.presence_penalty != 0
        )
        biases = params.logit_bias
        self._places = {token: place for place, token in enumerate(biases)}
        room = len(biases) + 64
        self._tokens = np.zeros(room, dtype=np.intp)
        self._tokens[: len(biases)] = list(biases)
        self._biases = np.zeros(room, dtype=np.float32)
        self._biases[: len(biases)] = list(biases.values())
        self._counts = np.zeros(room, dtype=np.float32)

    @property
    def tokens(self) -> Tokens:
        """The tokens concerned; ``apply`` takes their logits in this order."""
        return self._tokens[: len(self._places)]

    def apply(self, logits: Logits) -> Logits:
        """The adjusted logits, in a new array."""
        import numpy as np

        size = len(self._places)
        adjusted: Logits = logits + self._biases[:size]
        if self._has_penalties:
            counts = self._counts[:size]
            repeated = np.where(adjusted > 0, adjusted / self._repeat, adjusted * self._repeat)
            lowered = repeated - counts * self._frequency - self._presence
            adjusted = np.where(counts > 0, lowered, adjusted)
        return adjusted

    def remember(self, token: int) -> None:
        if not self._has_penalties:
            return
        size = len(self._places)
        place = self._places.setdefault(token, size)
        if place == size:
            if size == len(self._tokens):
                self._grow()
            self._tokens[place] = token
        self._counts[place] += 1

    def _grow(self) -> None:
        import numpy as np

        self._tokens, self._biases, self._counts = (
            np.concatenate([column, np.zeros_like(column)])
            for column in (self._tokens, self._biases, self._counts)
        )


def uniform(seed: int, index: int) -> float:
    """A number in [0, 1) that ``seed`` (64 bits) and ``index`` alone determine.

    53 bits of a keyed hash of the index: as good as random for all seeds, also for neighbours, and
    any place can be computed without those before it.
    """
    key = seed.to_bytes(_SEED_BITS // 8, "little")
    digest = blake2b(index.to_bytes(8, "little"), digest_size=8, key=key).digest()
    return (int.from_bytes(digest, "little") >> 11) * 2.0**-53


def most_likely(logits: Logits, k: int) -> Tokens:
    """The ``k`` tokens with the highest logits, of equal ones the first; fewer if fewer may come.

    The row is divided into groups. The k-th highest of the groups' maxima is a lower bound of the
    k-th highest logit, because k logits reach it; only tokens that do need an order.
    """
    import numpy as np

    rows = max(1, len(logits) // (_GROUPS_PER_TOKEN * k))
    columns = len(logits) // rows
    maxima = logits[: rows * columns].reshape(rows, columns).max(axis=0)
    bound = np.partition(maxima, columns - k)[columns - k]
    bound = max(bound, np.finfo(np.float32).min)  # what may not come is not kept
    tokens = np.flatnonzero(logits >= bound)
    order = np.argsort(-logits[tokens], kind="stable")
    return tokens[order[:k]]


def _nucleus(weights: Weights, p: float) -> Tokens:
    """Places of the fewest highest ``weights`` that together reach ``p`` of their sum; at least
    one, of equal ones the first. Weights are at most 1.

    Weights below (1 - p) · sum / number add up to less than (1 - p) · sum, so the others contain
    the nucleus. Those are counted in buckets by exponent and first bits of the mantissa (the bits
    of a positive float are ordered like its value); buckets above the one in which ``p`` is reached
    are kept whole, and only that one is sorted.
    """
    import numpy as np

    total = float(weights.sum(dtype=np.float64))
    bound = max((1 - p) * total / len(weights) * (1 - 1e-5), np.finfo(np.float32).tiny)
    places = np.flatnonzero(weights >= np.float32(bound))
    kept = weights[places]
    buckets = kept.view(np.int32) >> 20
    sums = np.bincount(buckets, kept)[::-1].cumsum()  # from the highest bucket down
    edge = min(int(np.searchsorted(sums, p * total)), len(sums) - 1)
    above = float(sums[edge - 1]) if edge > 0 else 0.0
    bucket = len(sums) - 1 - edge
    at_edge = np.flatnonzero(buckets == bucket)
    at_edge = at_edge[np.argsort(-kept[at_edge], kind="stable")]
    reached = above + kept[at_edge].cumsum(dtype=np.float64)
    needed = int(np.searchsorted(reached, p * total)) + 1
    inside: Tokens = places[np.concatenate([np.flatnonzero(buckets > bucket), at_edge[:needed]])]
    return inside


def _locate(weights: Weights, fraction: float) -> int:
    """The place at which the running sum of ``weights`` exceeds ``fraction`` of the whole sum.

    Sums of blocks come first, then the running sum inside one block. A place of weight 0 is never
    found: the target is kept below the sum of what is searched.
    """
    import numpy as np

    starts = np.arange(0, len(weights), _BLOCK)
    blocks = np.add.reduceat(weights, starts).cumsum(dtype=np.float64)
    target = _below(fraction * float(blocks[-1]), float(blocks[-1]))
    block = int(blocks.searchsorted(target, side="right"))
    if block > 0:
        target -= float(blocks[block - 1])
    start = block * _BLOCK
    inside = weights[start : start + _BLOCK].cumsum(dtype=np.float64)
    target = _below(target, float(inside[-1]))
    return start + int(inside.searchsorted(target, side="right"))


def _below(value: float, limit: float) -> float:
    return value if value < limit else math.nextafter(limit, 0.0)
