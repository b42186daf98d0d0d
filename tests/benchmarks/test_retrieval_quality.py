"""The benchmarks of retrieval quality run at their smallest size, on the own set."""

from typing import Any

import pytest

from tests.benchmarks.reports import smoke_report

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def report_of(module: str) -> dict[str, Any]:
    """Of a benchmark on the own set."""
    report = smoke_report(f"retrieval.{module}")
    assert report["data"] == "own set" and report["questions"] == 8
    return report


def test_chunking() -> None:
    report = report_of("chunking")
    ours, hosted, bm25 = report["rows"]
    assert ours["subject"] == "units hybrid" and hosted["subject"] == "fixed:800/400 dense"
    assert ours["R@1000 %"]["median"] > 90 and bm25["pieces"] == hosted["pieces"]
    assert hosted["tokens at 500"] <= ours["tokens at 500"] <= 500
    assert [goal["goal"] for goal in report["goals"]][-1] == "tokens@5"


def test_cranfield() -> None:
    report = report_of("cranfield")
    assert len(report["rows"]) == 6
    assert all(50 < row["nDCG@10 %"]["median"] <= 100 for row in report["rows"])
    assert report["goals"][0]["met"] == "yes"
