"""Benchmarks run at their smallest size, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from benchmarks import common


def smoke_report(module: str) -> dict[str, Any]:
    """The last line of what ``benchmarks.<module>`` prints."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", "--smoke"],
        cwd=common.ROOT,
        env={**os.environ, "OMP_WAIT_POLICY": "passive"},
        capture_output=True,
        text=True,
        timeout=230,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    table, line = done.stdout.rstrip().rsplit("\n", 1)
    report: dict[str, Any] = json.loads(line)
    assert report["question"] in table
    assert report["environment"]["cores"] == common.cores()
    return report
