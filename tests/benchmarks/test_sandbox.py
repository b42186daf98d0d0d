"""The benchmarks of kernels run at their smallest size and compare with a bare ipykernel."""

from pathlib import Path

import pytest

from benchmarks import common
from tests.benchmarks.reports import smoke_report

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(240)]


def test_start() -> None:
    bare, ours = smoke_report("sandbox.start")["rows"]
    assert (bare["subject"], ours["subject"]) == ("bare ipykernel", "bubblewrap")
    assert bare["first / bare"]["median"] == 1.0
    assert all(row["first result ms"]["median"] > row["1+1 ms"]["median"] for row in (bare, ours))
    assert ours["MB"]["median"] > 20


def test_first_result() -> None:
    warm, cold, _ = smoke_report("sandbox.first_result")["rows"]
    assert warm["first result ms"]["median"] < cold["first result ms"]["median"]


def test_many() -> None:
    for row in smoke_report("sandbox.many")["rows"]:
        assert row["kernels"] == 2 and row["MB"]["median"] > 2 * 20


def test_every_script_has_a_test() -> None:
    scripts = {path.stem for path in (Path(common.__file__).parent / "sandbox").glob("*.py")}
    assert {f"test_{script}" for script in scripts} <= set(globals())
