"""What every benchmark shares: options, the machine's record, statistics, the report.

A script answers one question. It measures its subjects in turn, several times over, and compares
them within a turn, so that a machine that is slow for a while is slow for all of them.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import localassist
from localassist.engine import EngineSettings
from localassist.engine.tuning import tuned
from localassist.registry.catalog import Catalog

ROOT = Path(__file__).resolve().parents[1]
# What the probe of repacked weights found is kept here, or every script would ask again.
MEASURED = {"use_extra_buffers", "threads", "batch_threads", "micro_batch_tokens"}
PROBE_FOLDER = Path(tempfile.gettempdir()) / "localassist-benchmarks"
LIBRARIES = ("llama-cpp-python", "llguidance", "starlette", "uvicorn", "sqlalchemy")
_PAUSE_SECONDS = 0.05  # OpenMP threads spin for a while after their last pass
Row = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Model:
    """The embedded chat model, and whether repacked weights work on this machine."""

    id: str
    path: Path
    measured: dict[str, Any]
    sampling: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Spread:
    """A median, and half of the range that the readings lie in."""

    median: float
    half_range: float

    def __str__(self) -> str:
        around = f" ±{_rounded(self.half_range)}" if self.half_range else ""
        return _rounded(self.median) + around


def options(
    question: str,
    *,
    repeats: int,
    add: Callable[[argparse.ArgumentParser], None] | None = None,
) -> argparse.Namespace:
    """``--smoke`` (smallest sizes, once), ``--repeats``, ``--peers`` (a bool), and what ``add``
    puts beside them."""
    parser = argparse.ArgumentParser(description=question)
    parser.add_argument("--smoke", action="store_true", help="smallest sizes: does it run")
    parser.add_argument("--repeats", type=int, help="turns of all subjects")
    parser.add_argument(
        "--peers",
        action=argparse.BooleanOptionalAction,
        help="compare with the servers of others (default: not with --smoke)",
    )
    if add is not None:
        add(parser)
    found = parser.parse_args()
    if found.repeats is None:
        found.repeats = 1 if found.smoke else repeats
    if found.peers is None:
        found.peers = not found.smoke
    return found


def embedded_model() -> Model:
    catalog = Catalog(PROBE_FOLDER)
    manifest = catalog.default("chat")
    path = catalog.locate(manifest)
    found = tuned(EngineSettings(), path, PROBE_FOLDER).model_dump(include=MEASURED)
    return Model(manifest.id, path, found, dict(manifest.sampling))


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine(libraries: Sequence[str]) -> Row:
    """What a figure depends on besides the code and a chat model."""
    return {
        "cpu": _cpu_model(),
        "cores": cores(),
        "load": round(os.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "localassist": localassist.__version__,
        "libraries": {name: importlib.metadata.version(name) for name in libraries},
    }


def environment(model: Model) -> Row:
    """What a figure depends on besides the code."""
    import llama_cpp.llama_cpp as llama

    return {
        **machine(LIBRARIES),
        "llama_build": " ".join(llama.llama_print_system_info().decode().split()),
        "model": model.path.name,
        "measured": model.measured,
        "bare_threads": cores(),
    }


def in_turns(subjects: Sequence[T], repeats: int) -> Iterator[tuple[int, T]]:
    """Every subject once in every repeat, each time beginning with another one. Waits a moment
    before each, until the one before is quiet."""
    for repeat in range(repeats):
        first = repeat % len(subjects)
        for subject in (*subjects[first:], *subjects[:first]):
            time.sleep(_PAUSE_SECONDS)
            yield repeat, subject


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def percentile(values: Sequence[float], percent: float) -> float:
    """By linear interpolation between the two nearest values."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def spread(values: Sequence[float]) -> Spread:
    return Spread(median(values), (max(values) - min(values)) / 2)


def ratio(these: Sequence[float], those: Sequence[float]) -> Spread:
    """These over those, repeat by repeat."""
    return spread([a / b for a, b in zip(these, those, strict=True)])


def memory_mb(pid: int | str = "self", *, peak: bool = False) -> float | None:
    """Resident memory of a process, or the most it ever had; None where there is no /proc."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("ascii", "replace").splitlines()
    except OSError:
        return None
    name = "VmHWM" if peak else "VmRSS"
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def report(question: str, rows: Sequence[Row], **more: Any) -> None:
    """The table for people, then one line of JSON for everything else."""
    print(f"\n{question}")
    print_table(rows)
    line = {"question": question, "rows": rows, **more}
    print(json.dumps(line, default=dataclasses.asdict), flush=True)


def print_table(rows: Sequence[Row]) -> None:
    if not rows:
        return
    cells = [list(rows[0]), *([_shown(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(line.split(": ", 1)[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return _rounded(value) if isinstance(value, float) else str(value)


def _rounded(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
