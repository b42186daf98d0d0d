"""Which stages a request asks for, and which requests are refused."""

from __future__ import annotations

import dataclasses
import math

import pytest

from localassist.core import SamplingParams
from localassist.engine.sampler import (
    Draw,
    Greedy,
    LogitBias,
    MinP,
    Penalties,
    Temperature,
    TopK,
    TopP,
    check_sampling,
    sampling_stages,
)
from localassist.errors import InvalidRequest


def test_defaults_only_draw() -> None:
    (stage,) = sampling_stages(SamplingParams(seed=7))
    assert stage == Draw(7)


def test_every_stage_in_its_order() -> None:
    params = SamplingParams(
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        min_p=0.1,
        repeat_penalty=1.1,
        presence_penalty=0.2,
        frequency_penalty=0.3,
        logit_bias={5: -1.0},
        seed=1,
    )
    assert sampling_stages(params) == (
        LogitBias(((5, -1.0),)),
        Penalties(1.1, 0.3, 0.2),
        Temperature(0.5),
        TopK(40),
        TopP(0.9),
        MinP(0.1),
        Draw(1),
    )


def test_temperature_zero_is_greedy_and_keeps_what_moves_logits() -> None:
    params = SamplingParams(temperature=0, top_p=0.5, presence_penalty=1)
    assert sampling_stages(params) == (Penalties(1.0, 0.0, 1), Greedy())


def test_seeds_of_any_size_are_folded_and_missing_ones_drawn() -> None:
    def seed_of(seed: int | None) -> int:
        stage = sampling_stages(SamplingParams(seed=seed))[-1]
        assert isinstance(stage, Draw)
        return stage.seed

    seeds = [-1, 0, 1, 2**32 - 1, 2**40, -(2**63)]
    assert all(0 <= seed_of(seed) < 2**32 - 1 for seed in seeds)
    assert seed_of(2**40) == seed_of(2**40)
    assert len({seed_of(None) for _ in range(8)}) > 1


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
