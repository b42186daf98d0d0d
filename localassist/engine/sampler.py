"""SamplingParams → an ordered list of sampling stages. Pure: a backend turns stages into code.

Order: logit bias, penalties, temperature, top-k, top-p, min-p, draw. Stages that would change
nothing are left out, so a default request sorts nothing. Penalties look at the answer only, never
at the prompt, as the hosted API counts them.
"""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass

from localassist.core import SamplingParams
from localassist.errors import InvalidRequest

MAX_STOP_STRINGS = 64
_COLDEST = 1e-4  # below, logits divided by it overflow long before another choice gets likely
_MAX_SEED = 0xFFFF_FFFE  # the value after it means "random" to llama.cpp


@dataclass(frozen=True, slots=True)
class LogitBias:
    """Added to the logits of single tokens."""

    biases: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Penalties:
    """Make tokens of the answer less likely to come again."""

    repeat: float
    frequency: float
    presence: float


@dataclass(frozen=True, slots=True)
class Temperature:
    """Divides the logits."""

    value: float


@dataclass(frozen=True, slots=True)
class TopK:
    """Keeps the k likeliest tokens."""

    k: int


@dataclass(frozen=True, slots=True)
class TopP:
    """Keeps the likeliest tokens that together reach p."""

    p: float


@dataclass(frozen=True, slots=True)
class MinP:
    """Keeps tokens at least p times as likely as the likeliest."""

    p: float


@dataclass(frozen=True, slots=True)
class Greedy:
    """Takes the likeliest token."""


@dataclass(frozen=True, slots=True)
class Draw:
    """Draws from what is left, with its own random generator."""

    seed: int


Stage = LogitBias | Penalties | Temperature | TopK | TopP | MinP | Greedy | Draw


def check_sampling(params: SamplingParams, vocab_size: int) -> None:
    """Raise InvalidRequest, naming the parameter, for values no stage can honour."""
    _check_range("temperature", params.temperature, 0.0, 100.0)
    _check_range("top_p", params.top_p, 0.0, 1.0)
    _check_range("min_p", params.min_p, 0.0, 1.0)
    _check_range("repeat_penalty", params.repeat_penalty, 0.01, 100.0)
    _check_range("presence_penalty", params.presence_penalty, -100.0, 100.0)
    _check_range("frequency_penalty", params.frequency_penalty, -100.0, 100.0)
    _check_range("top_k", params.top_k, 0, math.inf)
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


def sampling_stages(params: SamplingParams) -> tuple[Stage, ...]:
    """The stages a checked ``params`` asks for. A missing seed is drawn here."""
    stages: list[Stage] = []
    if params.logit_bias:
        stages.append(LogitBias(tuple(params.logit_bias.items())))
    if params.repeat_penalty != 1 or params.frequency_penalty != 0 or params.presence_penalty != 0:
        stages.append(
            Penalties(params.repeat_penalty, params.frequency_penalty, params.presence_penalty)
        )
    if params.temperature < _COLDEST:
        return (*stages, Greedy())
    if params.temperature != 1:
        stages.append(Temperature(params.temperature))
    if params.top_k > 0:
        stages.append(TopK(params.top_k))
    if params.top_p < 1:
        stages.append(TopP(params.top_p))
    if params.min_p > 0:
        stages.append(MinP(params.min_p))
    return (*stages, Draw(_fold_seed(params.seed)))


def _fold_seed(seed: int | None) -> int:
    """Any integer as a generator seed: equal seeds stay equal, the reserved value is avoided."""
    if seed is None:
        return secrets.randbelow(_MAX_SEED)
    return seed % (_MAX_SEED + 1)
