"""Are the targets met?

Runs the benchmarks that the targets are about, one after another, each with its own table, and ends
with the targets, what was measured, and whether that is enough. ``--smoke``, ``--repeats`` and
``--peers`` are passed on. Takes about half an hour without ``--smoke``, and an hour more where
``LOCALASSIST_BENCH_BFCL`` names a folder with BFCL's questions, without which what they are about
is not measured.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from benchmarks import common

QUESTION = "Are the targets met?"


@dataclass(frozen=True, slots=True)
class Target:
    """``key`` is the name of a ratio among those that ``module`` measures."""

    what: str
    module: str
    key: str
    limit: float
    is_least: bool = True

    def is_met(self, value: float) -> bool:
        return value >= self.limit if self.is_least else value <= self.limit


TARGETS = (
    Target("8 streams over HTTP / bare decode loop", "server.throughput", "streams/bare", 0.85),
    Target(
        "the same, the loop reads the prompts too",
        "server.throughput",
        "streams/bare with prompts",
        0.85,
    ),
    Target("8 streams over HTTP / best peer", "server.throughput", "streams/best peer", 2.4),
    Target("1 stream over HTTP / in process", "server.single", "single/in process", 0.95),
    Target(
        "first token of turn 4, 6 threads / best peer",
        "server.followup",
        "followup/best peer",
        0.25,
        is_least=False,
    ),
    Target(
        "the same, llama-server with a slot for each thread",
        "server.followup",
        "followup/best peer, roomy",
        0.25,
        is_least=False,
    ),
    Target("turn 4 / turn 2", "server.followup", "followup/flat", 1.25, is_least=False),
    Target(
        "turn after a restart / turn 4", "server.followup", "followup/restart", 1.5, is_least=False
    ),
    Target("constrained / free, at its worst", "engine.constrained", "constrained", 1.0),
    Target("1 answer that quotes, with / without guessing", "engine.speculation", "guessing", 1.5),
    Target("quoting answers that stay the same", "engine.speculation", "guessing/same", 1.0),
    Target("overhead of a run, ms", "server.run_overhead", "overhead/ms", 15.0, is_least=False),
    Target(
        "overhead of a run, share", "server.run_overhead", "overhead/share", 0.05, is_least=False
    ),
    Target(
        "p95 gap beside a 4k prompt / quiet gap, 1 stream",
        "server.interference",
        "interference/1",
        4.0,
        is_least=False,
    ),
    Target("the same, 4 streams", "server.interference", "interference/4", 4.0, is_least=False),
    Target("calls that fit their schema", "tools.accuracy", "calls/valid", 1.0),
    Target("BFCL simple_python, right", "tools.accuracy", "calls/simple_python", 0.60),
    Target("BFCL multiple, right", "tools.accuracy", "calls/multiple", 0.58),
    Target("BFCL parallel, right", "tools.accuracy", "calls/parallel", 0.40),
    Target("BFCL irrelevance, rejected", "tools.accuracy", "calls/irrelevance", 0.85),
    Target("BFCL, calls kept where one is wanted", "tools.accuracy", "calls/kept", 0.90),
)


def run(module: str, arguments: list[str]) -> dict[str, Any]:
    """Show what a benchmark prints; its last line, read."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    done = subprocess.run(command, cwd=common.ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        print(f"{module}: exit code {done.returncode}", flush=True)
        return {}
    shown, _, line = done.stdout.rstrip().rpartition("\n")
    print(shown, flush=True)
    found: dict[str, Any] = json.loads(line)
    return found


def row_of(target: Target, measured: dict[str, dict[str, float]]) -> common.Row:
    found = measured.get(target.key)
    value = None if found is None else common.Spread(**found)
    met = "not measured"
    if value is not None:
        met = "yes" if target.is_met(value.median) else "no"
    return {
        "target": target.what,
        "wanted": f"{'≥' if target.is_least else '≤'} {target.limit:g}",
        "measured": value,
        "met": met,
    }


def main() -> None:
    common.options(QUESTION, repeats=1)
    measured: dict[str, dict[str, float]] = {}
    for module in dict.fromkeys(target.module for target in TARGETS):
        measured |= run(module, sys.argv[1:]).get("measured", {})
    rows = [row_of(target, measured) for target in TARGETS]
    environment = common.environment(common.embedded_model())
    print(f"\n{environment['cpu']}, {environment['cores']} cores; bare loop and llama-server: ")
    print(f"{environment['bare_threads']} threads; built with {environment['llama_build']}")
    common.report(QUESTION, rows, environment=environment)


if __name__ == "__main__":
    main()
