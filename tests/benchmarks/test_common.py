import os
import re
from pathlib import Path

import pytest

from benchmarks import common

FOLDER = Path(common.__file__).parent


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1.0), (50, 2.5), (75, 3.25), (95, 3.85), (100, 4.0)]
)
def test_percentiles_lie_between_the_nearest_values(percent: float, expected: float) -> None:
    assert common.percentile([4.0, 1.0, 3.0, 2.0], percent) == pytest.approx(expected)


def test_the_spread_is_the_median_and_half_the_range() -> None:
    assert common.spread([9.0, 10.0, 12.0]) == common.Spread(10.0, 1.5)
    assert (str(common.Spread(10.0, 1.5)), str(common.Spread(0.25, 0.0))) == ("10 ±1.5", "0.25")


def test_a_ratio_is_taken_within_each_repeat() -> None:
    assert common.ratio([2.0, 20.0, 3.0], [1.0, 10.0, 1.0]) == common.Spread(2.0, 0.5)


def test_every_repeat_begins_with_another_subject() -> None:
    assert list(common.in_turns("ab", 3)) == [
        (0, "a"),
        (0, "b"),
        (1, "b"),
        (1, "a"),
        (2, "a"),
        (2, "b"),
    ]


def test_a_report_is_a_table_and_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"a": 1, "rate": 2.345}, {"a": None, "rate": common.Spread(1234.5, 20.0)}]
    common.report("Why?", rows, note="x")
    _, question, head, first, second, line = capsys.readouterr().out.rstrip("\n").split("\n")
    assert (question, head.split(), first.split()) == ("Why?", ["a", "rate"], ["1", "2.35"])
    assert second.split() == ["-", "1234", "±20"]
    assert '"note": "x"' in line and '{"median": 1234.5, "half_range": 20.0}' in line


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="there is no /proc")
def test_memory_is_this_process_s() -> None:
    now, peak = common.memory_mb(), common.memory_mb(peak=True)
    assert now is not None and peak is not None and 10 < now <= peak < 100_000


def test_the_readme_has_a_row_for_every_script() -> None:
    readme = (FOLDER / "README.md").read_text("utf-8")
    named = set(re.findall(r"python -m benchmarks\.([\w.]+)", readme))
    scripts = {
        f"{path.parent.name}.{path.stem}"
        for area in ("engine", "retrieval", "sandbox", "server", "tools")
        for path in (FOLDER / area).glob("*.py")
        if "def main()" in path.read_text("utf-8")
    }
    assert named == {*scripts, "targets"}
