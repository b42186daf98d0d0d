"""Every benchmark runs at its smallest size and reports what it was asked for."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import common

pytestmark = [pytest.mark.model, pytest.mark.timeout(90)]


def report_of(module: str) -> dict[str, Any]:
    """The last line of what a benchmark prints."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", "--smoke"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_WAIT_POLICY": "passive"},
        capture_output=True,
        text=True,
        timeout=80,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    table, line = done.stdout.rstrip().rsplit("\n", 1)
    report: dict[str, Any] = json.loads(line)
    assert report["question"] in table
    assert report["environment"]["cores"] == common.cores()
    assert "CPU" in report["environment"]["llama_build"]
    return report


def test_engine_throughput() -> None:
    rows = report_of("engine.throughput")["rows"]
    assert [row["streams"] for row in rows] == [1, 4]
    assert all(row["bare tok/s"] > 0 and row["engine / bare"] > 0 for row in rows)


def test_engine_attention() -> None:
    rows = report_of("engine.attention")["rows"]
    assert [row["rows in the step"] for row in rows] == [1, 8]
    assert all(row["with / without"] > 0 for row in rows)


def test_engine_followup_reads_only_what_is_new() -> None:
    first, second = report_of("engine.followup")["rows"]
    assert second["prompt from cache, median"] > max(first["prompt from cache, median"], 0.5)


def test_server_latency() -> None:
    (row,) = report_of("server.latency")["rows"]
    assert row["chat ms"] > 0 and row["run ms"] > 0
    assert row["peer chat ms"] is None


def test_server_throughput() -> None:
    report = report_of("server.throughput")
    assert [row["streams"] for row in report["rows"]] == [1, 4]
    assert all(row["http / in process"] > 0 for row in report["rows"])
    assert report["peak_rss_mb"]["http"] > 100


def test_server_followup_reads_only_what_is_new() -> None:
    first, second = report_of("server.followup")["rows"]
    assert second["prompt from cache, median"] > max(first["prompt from cache, median"], 0.5)


def test_run_overhead() -> None:
    rows = report_of("server.run_overhead")["rows"]
    assert rows[0]["median ms"] > 0
    assert all(math.isfinite(row["median ms"]) for row in rows)
