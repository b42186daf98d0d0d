import os

import pytest

from benchmarks import common


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1.0), (50, 2.5), (75, 3.25), (95, 3.85), (100, 4.0)]
)
def test_percentiles_lie_between_the_nearest_values(percent: float, expected: float) -> None:
    assert common.percentile([4.0, 1.0, 3.0, 2.0], percent) == pytest.approx(expected)


def test_the_spread_is_half_the_range_over_the_median() -> None:
    assert common.spread([9.0, 10.0, 12.0]) == pytest.approx(0.15)


def test_a_report_is_a_table_and_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    common.report("Why?", [{"a": 1, "rate": 2.345}, {"a": None, "rate": 1234.5}], note="x")
    _, question, head, first, second, line = capsys.readouterr().out.rstrip("\n").split("\n")
    assert (question, head.split(), first.split()) == ("Why?", ["a", "rate"], ["1", "2.35"])
    assert second.split() == ["-", "1234"]
    assert '"note": "x"' in line


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="there is no /proc")
def test_peak_memory_is_this_process_s() -> None:
    found = common.peak_rss_mb()
    assert found is not None and 10 < found < 100_000
