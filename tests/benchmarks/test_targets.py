from typing import Any

import pytest

from benchmarks import targets


@pytest.mark.parametrize(
    ("is_least", "value", "met"), [(True, 2.5, "yes"), (True, 2.3, "no"), (False, 2.3, "yes")]
)
def test_a_target_is_met_or_not(is_least: bool, value: float, met: str) -> None:
    target = targets.Target("speed", "engine.speed", "speed", 2.4, is_least)
    measured: dict[str, Any] = {"speed": {"median": value, "half_range": 0.1}}
    assert targets.row_of(target, measured)["met"] == met


def test_what_was_not_measured_is_not_met() -> None:
    assert {targets.row_of(target, {})["met"] for target in targets.TARGETS} == {"not measured"}


def test_every_target_names_a_ratio_of_its_own() -> None:
    assert len({target.key for target in targets.TARGETS}) == len(targets.TARGETS)
