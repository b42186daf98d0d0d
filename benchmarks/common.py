"""What every benchmark shares: options, the machine's record, percentiles, servers, the report.

A script answers one question. It measures its subjects in turn, several times over, and compares
them within a turn, so that a machine that is slow for a while is slow for all of them.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import localassist
from localassist.engine import EngineSettings
from localassist.engine.tuning import tuned
from localassist.registry.catalog import Catalog

ROOT = Path(__file__).resolve().parents[1]
# What the probe of repacked weights found is kept here, or every script would ask again.
PROBE_FOLDER = Path(tempfile.gettempdir()) / "localassist-benchmarks"
LIBRARIES = ("llama-cpp-python", "llguidance", "starlette", "uvicorn", "sqlalchemy")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Model:
    """The embedded chat model, and whether repacked weights work on this machine."""

    id: str
    path: Path
    extra_buffers: bool
    sampling: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Server:
    """A server process. ``base_url`` ends in ``/v1``; the log has what it printed."""

    base_url: str
    pid: int
    log: Path


class ServerDied(Exception):
    """The server ended before it answered, or never answered."""


def options(question: str, *, repeats: int) -> argparse.Namespace:
    """``--smoke`` (smallest sizes, once, no peer) and ``--repeats``."""
    parser = argparse.ArgumentParser(description=question)
    parser.add_argument("--smoke", action="store_true", help="smallest sizes, no peer: does it run")
    parser.add_argument("--repeats", type=int, default=repeats, help="turns of all subjects")
    found = parser.parse_args()
    if found.smoke:
        found.repeats = 1
    return found


def embedded_model() -> Model:
    catalog = Catalog(PROBE_FOLDER)
    manifest = catalog.default("chat")
    path = catalog.locate(manifest)
    survives = tuned(EngineSettings(), path, PROBE_FOLDER).use_extra_buffers == "on"
    return Model(manifest.id, path, survives, dict(manifest.sampling))


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment(model: Model) -> Row:
    """What a figure depends on besides the code."""
    import llama_cpp.llama_cpp as llama

    return {
        "cpu": _cpu_model(),
        "cores": cores(),
        "load": round(os.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "localassist": localassist.__version__,
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "llama_build": " ".join(llama.llama_print_system_info().decode().split()),
        "model": model.path.name,
        "extra_buffers": model.extra_buffers,
        "threads": {"single_row": cores(), "several_rows": cores()},
    }


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def percentile(values: Sequence[float], percent: float) -> float:
    """By linear interpolation between the two nearest values."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def spread(values: Sequence[float]) -> float:
    """Half the range over the median: how far one reading may lie from another."""
    return (max(values) - min(values)) / 2 / median(values)


def peak_rss_mb(pid: int | str = "self") -> float | None:
    """Peak resident memory of a process; None where there is no /proc."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("ascii", "replace").splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def report(question: str, rows: Sequence[Row], **more: Any) -> None:
    """The table for people, then one line of JSON for everything else."""
    print(f"\n{question}")
    if rows:
        cells = [list(rows[0]), *([_shown(value) for value in row.values()] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        for line in cells:
            print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))
    print(json.dumps({"question": question, "rows": rows, **more}), flush=True)


@contextmanager
def our_server(model: Model, home: Path) -> Iterator[Server]:
    """``localassist serve`` with its defaults, on a free port and its own data folder."""
    command = [sys.executable, "-m", "localassist", "--home", str(home), "serve", "--port"]
    extra = "on" if model.extra_buffers else "off"
    with _server(command, home, {"LOCALASSIST_ENGINE__USE_EXTRA_BUFFERS": extra}) as server:
        yield server


@contextmanager
def peer_server(model: Model, home: Path) -> Iterator[Server | None]:
    """llama-cpp-python's packaged server; None, and a line why, where it cannot run.

    As it comes, except that a second request waits for the first instead of cutting it off.
    """
    needed = ("fastapi", "sse_starlette", "starlette_context", "pydantic_settings")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        packages = " ".join(name.replace("_", "-") for name in missing)
        print(f"no peer to compare with: pip install {packages}")
        yield None
        return
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(model.path)]
    command += ["--n_ctx", "8192", "--interrupt_requests", "false", "--port"]
    with _server(command, home, {}) as server:
        yield server


@contextmanager
def _server(command: list[str], home: Path, settings: dict[str, str]) -> Iterator[Server]:
    port = _free_port()
    home.mkdir(parents=True, exist_ok=True)
    log = home / "server.log"
    base_url = f"http://127.0.0.1:{port}/v1"
    kept = {k: v for k, v in os.environ.items() if not k.startswith("LOCALASSIST_")}
    paths = [str(ROOT), *filter(None, [kept.get("PYTHONPATH")])]
    variables = {**kept, "PYTHONPATH": os.pathsep.join(paths), **settings}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, str(port)], cwd=home, env=variables, stdout=output, stderr=output
        )
        try:
            _await_answer(process, base_url, log)
            yield Server(base_url, process.pid, log)
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await_answer(process: subprocess.Popen[bytes], base_url: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{base_url}/models", timeout=5).close()
            return
        except urllib.error.URLError:
            time.sleep(0.1)
    raise ServerDied(f"the server does not answer: {log.read_text('utf-8', 'replace')[-2000:]}")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(line.split(": ", 1)[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) and abs(value) < 100 else _rounded(value)


def _rounded(value: Any) -> str:
    return f"{value:.0f}" if isinstance(value, float) else str(value)
