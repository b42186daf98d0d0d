"""The sampler against a plain slow twin, its determinism, and which requests are refused."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from localassist.core import SamplingParams
from localassist.engine.sampler import Sampler, check_sampling, uniform
from localassist.errors import GenerationFailed, InvalidRequest

Row = NDArray[np.float64]


def adjusted(params: SamplingParams, logits: Row, answer: list[int]) -> Row:
    """Bias and penalties, token by token."""
    logits = logits.copy()
    for token, bias in params.logit_bias.items():
        logits[token] += bias
    for token, count in Counter(answer).items():
        value = logits[token]
        value = value / params.repeat_penalty if value > 0 else value * params.repeat_penalty
        logits[token] = value - count * params.frequency_penalty - params.presence_penalty
    return logits


def softmax(logits: Row) -> Row:
    weights: Row = np.exp(logits - logits.max())
    weights /= weights.sum()
    return weights


def probabilities(params: SamplingParams, logits: Row) -> Row:
    """What each token's chance is, by sorting everything. Slow and legible."""
    logits = logits / params.temperature
    if params.top_k > 0:
        logits[np.argsort(-logits, kind="stable")[params.top_k :]] = -np.inf
    if params.top_p < 1:
        order = np.argsort(-logits, kind="stable")
        reached = np.cumsum(softmax(logits)[order]) >= params.top_p
        logits[order[1:][reached[:-1]]] = -np.inf
    if params.min_p > 0:
        logits[logits < logits.max() + np.log(params.min_p)] = -np.inf
    return softmax(logits)


def row_of(seed: int, size: int, *, spread: float = 3.0) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    row: NDArray[np.float32] = (random.standard_normal(size) * spread).astype(np.float32)
    return row


def chances(params: SamplingParams, logits: NDArray[np.float32], draws: int) -> Row:
    """How often each token was drawn, over neighbouring places of one answer."""
    sampler = Sampler(params)
    drawn = [sampler.choose(logits, index) for index in range(draws)]
    return np.bincount(drawn, minlength=len(logits)) / draws


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"temperature": 0.3},
        {"temperature": 5.0},
        {"top_k": 5},
        {"top_p": 0.8},
        {"min_p": 0.2},
        {"temperature": 1.7, "top_k": 30, "top_p": 0.9, "min_p": 0.02},
        {"temperature": 0.5, "logit_bias": {3: 4.0, 5: -4.0, 7: -math.inf}},
    ],
)
@pytest.mark.parametrize("size", [40, 3000])
def test_tokens_are_drawn_as_often_as_their_chance_says(
    changes: dict[str, object], size: int
) -> None:
    params = dataclasses.replace(SamplingParams(seed=11), **changes)  # type: ignore[arg-type]
    logits = row_of(1, size)
    expected = probabilities(params, adjusted(params, logits.astype(np.float64), []))
    draws = 8000
    found = chances(params, logits, draws)
    assert not found[expected == 0].any()
    likely = expected * draws >= 5
    observed = np.append(found[likely], found[~likely].sum()) * draws
    theory = np.append(expected[likely], expected[~likely].sum()) * draws
    theory, observed = theory[theory > 0], observed[theory > 0]
    if len(theory) > 1:
        chi_square = ((observed - theory) ** 2 / theory).sum()
        freedom = len(theory) - 1
        assert chi_square < freedom + 5 * math.sqrt(2 * freedom) + 5


sampling = st.builds(
    SamplingParams,
    temperature=st.sampled_from([1e-4, 0.1, 0.7, 1.0, 2.0, 100.0]),
    top_k=st.sampled_from([0, 1, 2, 7, 60, 10_000]),
    top_p=st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.999, 1.0]),
    min_p=st.sampled_from([0.0, 0.01, 0.3, 1.0]),
    repeat_penalty=st.sampled_from([0.5, 1.0, 1.3]),
    presence_penalty=st.sampled_from([0.0, 1.5, -2.0]),
    frequency_penalty=st.sampled_from([0.0, 0.7]),
    logit_bias=st.dictionaries(
        st.integers(0, 59), st.sampled_from([-100.0, -1.0, 0.5, 100.0, -math.inf]), max_size=4
    ),
    seed=st.integers(-(2**70), 2**70),
)


@settings(max_examples=300, deadline=None)
@given(
    params=sampling,
    answer=st.lists(st.integers(0, 59), max_size=90),
    size=st.sampled_from([60, 700, 3001]),
    row=st.integers(0, 1000),
    spread=st.sampled_from([0.0, 1.0, 4.0, 40.0]),
    allowed=st.one_of(st.none(), st.sets(st.integers(0, 59), min_size=1)),
    index=st.integers(0, 100_000),
)
def test_the_choice_is_one_the_twin_could_make_and_the_row_is_left_alone(
    params: SamplingParams,
    answer: list[int],
    size: int,
    row: int,
    spread: float,
    allowed: set[int] | None,
    index: int,
) -> None:
    logits = row_of(row, size, spread=spread)
    if allowed is not None:
        mask = np.ones(size, dtype=bool)
        mask[list(allowed)] = False
        logits[mask] = -np.inf
    before = logits.copy()
    sampler = Sampler(params)
    for token in answer:
        sampler.accept(token)
    expected = adjusted(params, logits.astype(np.float64), answer)
    if not np.isfinite(expected).any():
        with pytest.raises(GenerationFailed):
            sampler.choose(logits, index)
        return
    token = sampler.choose(logits, index)
    assert np.array_equal(logits, before)
    assert np.isfinite(expected[token])
    # Rounding may decide what lies exactly on an edge, so the edges of the twin are a little wider.
    wide = dataclasses.replace(
        params,
        top_p=min(1.0, params.top_p + 1e-4),
        min_p=params.min_p * 0.999,
        top_k=params.top_k and params.top_k + int(spread > 0),
    )
    if params.top_k == 1 or params.top_p == 0:
        assert expected[token] >= expected.max() - 1e-4
    else:
        assert expected[token] / params.temperature >= _lowest(wide, expected) - 1e-3


def _lowest(params: SamplingParams, logits: Row) -> float:
    """The lowest scaled logit that can still be drawn."""
    kept = probabilities(params, logits) > 0
    return float((logits / params.temperature)[kept].min())


@settings(max_examples=100, deadline=None)
@given(
    row=st.integers(0, 1000),
    size=st.sampled_from([1, 2, 255, 256, 257, 5000]),
    temperature=st.sampled_from([0.5, 1.0, 3.0]),
    index=st.integers(0, 1000),
)
def test_a_draw_inverts_the_running_sum(
    row: int, size: int, temperature: float, index: int
) -> None:
    logits = row_of(row, size)
    token = Sampler(SamplingParams(temperature=temperature, seed=5)).choose(logits, index)
    ends = np.cumsum(softmax(logits.astype(np.float64) / temperature))
    fraction = uniform(5, index)
    assert (ends[token - 1] if token else 0.0) - 1e-5 <= fraction <= ends[token] + 1e-5


@settings(max_examples=100, deadline=None)
@given(
    row=st.integers(0, 1000),
    p=st.sampled_from([0.01, 0.5, 0.9, 0.95, 0.9999]),
    spread=st.sampled_from([0.0, 0.5, 2.0, 6.0]),
)
def test_a_nucleus_is_as_small_as_it_can_be(row: int, p: float, spread: float) -> None:
    from localassist.engine.sampler import _nucleus

    logits = row_of(row, 2000, spread=spread)
    weights = np.exp(logits - logits.max())
    kept = _nucleus(weights, p)
    assert len(set(kept.tolist())) == len(kept)
    share = weights[kept].astype(np.float64).sum() / weights.astype(np.float64).sum()
    smallest = float(weights[kept].min()) / weights.astype(np.float64).sum()
    assert p - 1e-5 <= share <= p + smallest + 1e-5
    others = np.delete(weights, kept)
    assert len(others) == 0 or weights[kept].min() >= others.max()


def test_equal_logits_are_kept_in_their_order() -> None:
    logits = np.zeros(100, dtype=np.float32)
    for params in (SamplingParams(top_k=3, seed=1), SamplingParams(top_p=0.03, seed=1)):
        assert set(np.flatnonzero(chances(params, logits, 200))) == {0, 1, 2}
    assert Sampler(SamplingParams(temperature=0)).choose(logits, 0) == 0


def test_a_token_depends_on_seed_and_place_only() -> None:
    logits = row_of(3, 500)
    params = SamplingParams(temperature=2, seed=2**40)
    forwards = [Sampler(params).choose(logits, index) for index in range(50)]
    sampler = Sampler(params)
    assert [sampler.choose(logits, index) for index in reversed(range(50))] == forwards[::-1]
    other = Sampler(dataclasses.replace(params, seed=2**40 + 1))
    assert [other.choose(logits, index) for index in range(50)] != forwards


def test_a_missing_seed_is_a_fresh_one() -> None:
    logits = row_of(3, 500)

    def answer() -> list[int]:
        sampler = Sampler(SamplingParams(temperature=2))
        return [sampler.choose(logits, index) for index in range(20)]

    assert answer() != answer()


def test_draws_are_even_over_places_and_over_seeds() -> None:
    for fractions in (
        [uniform(7, index) for index in range(4000)],
        [uniform(seed, 0) for seed in range(4000)],
    ):
        counts = np.bincount([int(20 * fraction) for fraction in fractions], minlength=20)
        assert ((counts - 200) ** 2 / 200).sum() < 19 + 5 * math.sqrt(38)
        steps = np.corrcoef(fractions[:-1], fractions[1:])[0, 1]
        assert abs(steps) < 0.08


def test_penalties_count_the_answer_and_forget_nothing() -> None:
    params = SamplingParams(temperature=0, frequency_penalty=0.25)
    sampler = Sampler(params)
    logits = np.linspace(1.0, 0.0, 200, dtype=np.float32)
    answer: list[int] = []
    for index in range(300):
        expected = int(adjusted(params, logits.astype(np.float64), answer).argmax())
        token = sampler.choose(logits, index)
        assert token == expected
        sampler.accept(token)
        answer.append(token)
    assert len(set(answer)) > 64


@pytest.mark.parametrize("params", [SamplingParams(temperature=0), SamplingParams(seed=1)])
def test_rows_without_a_choice_are_errors(params: SamplingParams) -> None:
    for value in (-math.inf, math.nan):
        with pytest.raises(GenerationFailed):
            Sampler(params).choose(np.full(50, value, dtype=np.float32), 0)


@pytest.mark.parametrize("temperature", [0.0, 1e-4, 1.0, 100.0])
def test_the_only_token_left_is_taken(temperature: float) -> None:
    logits = np.full(1000, -np.inf, dtype=np.float32)
    logits[777] = -50
    for changes in ({}, {"top_k": 40}, {"top_p": 0.9}, {"min_p": 0.5}):
        params = SamplingParams(temperature=temperature, **changes)  # type: ignore[arg-type]
        assert Sampler(params).choose(logits, 3) == 777


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"min_p": -1}, "min_p"),
        ({"top_k": -1}, "top_k"),
        ({"repeat_penalty": 0}, "repeat_penalty"),
        ({"frequency_penalty": math.inf}, "frequency_penalty"),
        ({"presence_penalty": math.nan}, "presence_penalty"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": ("",)}, "stop"),
        ({"stop": ("x",) * 65}, "stop"),
        ({"logit_bias": {10: 1.0}}, "logit_bias"),
        ({"logit_bias": {-1: 1.0}}, "logit_bias"),
        ({"logit_bias": {1: math.nan}}, "logit_bias"),
    ],
)
def test_absurd_values_are_refused_by_name(changes: dict[str, object], param: str) -> None:
    params = dataclasses.replace(SamplingParams(), **changes)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest) as refusal:
        check_sampling(params, vocab_size=10)
    assert refusal.value.param == param


def test_the_hosted_api_s_whole_range_is_accepted() -> None:
    for params in (
        SamplingParams(temperature=2, top_p=0, presence_penalty=-2, frequency_penalty=2),
        SamplingParams(logit_bias={0: -100, 9: 100}, max_tokens=1, stop=("a", "b", "c", "d")),
        SamplingParams(logit_bias={3: -math.inf}),
    ):
        check_sampling(params, vocab_size=10)
