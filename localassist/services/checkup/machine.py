"""The machine itself: Python, processor, threads, compiler, limits."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from localassist.engine.machine import usable_cores
from localassist.errors import LocalAssistError
from localassist.services.checkup.finding import Configuration, Finding, size

if TYPE_CHECKING:
    from localassist.engine.tuning import Remembered

_OLDEST = (3, 10)
_FEATURES = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx_vnni",
    "amx_int8",
    "asimddp",
    "i8mm",
)
"""What makes llama.cpp fast, in the words of Linux."""
_FEW_FILES = 1024
_REBUILD = "Build llama.cpp with CMAKE_ARGS='-DCMAKE_CXX_FLAGS=-fno-dse -fno-tree-dse'"


def python(_: Configuration) -> Iterator[Finding]:
    says = (
        f"{platform.python_version()} at {sys.executable}.",
        f"SQLite {sqlite3.sqlite_version}; {platform.platform()}.",
    )
    if sys.version_info < _OLDEST:
        yield Finding("python", "failed", says, "Install Python 3.10 or newer.")
    else:
        yield Finding("python", "ok", says)


def llama_cpp(_: Configuration) -> Iterator[Finding]:
    """Whether the library loads: it is the one that was built on this machine, or for another."""
    try:
        from localassist.engine.llama.library import build_facts

        version, *_others = build_facts()
    except (ImportError, OSError, RuntimeError) as error:
        says = f"The library does not load: {' '.join(str(error).split())}"
        fix = "pip install --force-reinstall --no-deps --no-cache-dir llama-cpp-python"
        yield Finding("llama.cpp", "failed", (says,), fix)
        return
    said = version.decode() if isinstance(version, bytes) else version
    yield Finding("llama.cpp", "ok", (f"{said}, which loads.",))


def processor(settings: Configuration, cpuinfo: Path = Path("/proc/cpuinfo")) -> Iterator[Finding]:
    name, features = _described(cpuinfo)
    cores = usable_cores()
    has = ", ".join(one for one in _FEATURES if one in features) or "none that are known"
    says = (f"{name}, {cores} of {os.cpu_count()} cores.", f"Instructions of use: {has}.")
    if platform.machine() in ("x86_64", "AMD64") and features and "avx2" not in features:
        slow = "It has no AVX2: models are computed several times as slowly."
        yield Finding("processor", "warning", (slow, *says))
        return
    has_amx = "amx_int8" in features
    verdict, has_crashed = _repacked(settings, has_amx=has_amx)
    if has_amx and has_crashed:
        yield Finding("processor", "warning", (verdict, *says), _REBUILD)
    else:
        yield Finding("processor", "ok", (*says, verdict))


def _repacked(settings: Configuration, *, has_amx: bool) -> tuple[str, bool]:
    """The verdict on repacked weights in a sentence, and whether they were tried and crashed."""
    what = "AMX" if has_amx else "No AMX; other repacked weights"
    if settings.engine.use_extra_buffers != "auto":
        return f"{what}: {settings.engine.use_extra_buffers} by engine.use_extra_buffers.", False
    known = _remembered(settings)
    if known is None:
        return f"{what}: not known.", False
    if known.survives is None:
        return f"{what}: not tried yet; the first load of the model does.", False
    if known.survives:
        return f"{what}: tried, and used.", False
    return f"{what}: crashed when tried, and left out; prompts are read more slowly.", True


def _remembered(settings: Configuration) -> Remembered | None:
    """What earlier loads of the default model have found; None where it is not computed here, or
    cannot be, which ``llama_cpp`` and the checks of models tell."""
    from localassist.registry.catalog import Catalog
    from localassist.registry.manifest import ServerSource
    from localassist.registry.weights import find_weights

    try:
        from localassist.engine.tuning import remembered

        manifest = Catalog(settings.home, settings.models).default("chat")
        if isinstance(manifest.source, ServerSource):
            return None
        return remembered(settings.engine, find_weights(manifest), settings.home / "cache")
    except (LocalAssistError, ImportError, OSError):
        return None


def threads(settings: Configuration) -> Iterator[Finding]:
    engine, cores = settings.engine, usable_cores()
    if engine.threads is not None and engine.batch_threads is not None:
        says = f"{engine.threads} for single rows, {engine.batch_threads} for several, as set."
        if max(engine.threads, engine.batch_threads) > cores:
            more = f"There are {cores} cores; more threads than that wait for each other."
            fix = "Unset engine.threads and engine.batch_threads."
            yield Finding("threads", "warning", (says, more), fix)
        else:
            yield Finding("threads", "ok", (says,))
        return
    known = _remembered(settings)
    if known is None or known.tuning is None:
        says = f"One for each of {cores} cores, until a model's first load has measured."
        if engine.tuning_seconds == 0:
            says = f"One for each of {cores} cores; engine.tuning_seconds 0 measures nothing."
        yield Finding("threads", "ok", (says,))
        return
    found = known.tuning
    single, several = engine.threads or found.threads, engine.batch_threads or found.batch_threads
    says = f"{single} for single rows, {several} for several: measured as the fastest here."
    if not found.is_quiet:
        says += " The machine was busy then; a later load measures again."
    less = "Fewer while other programs keep the processor busy." if engine.adapt_threads else ""
    yield Finding("threads", "ok", (says, less))


def compiler(_: Configuration) -> Iterator[Finding]:
    command = os.environ.get("CXX", "c++").split()[0]
    is_built = importlib.util.find_spec("llama_cpp") is not None
    path = shutil.which(command)
    if path is not None:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10)
        yield Finding("compiler", "ok", ((done.stdout.splitlines() or [path])[0],))
    elif is_built:
        says = "None. It is only wanted to build llama.cpp anew."
        yield Finding("compiler", "unused", (says,))
    else:
        says = "llama.cpp is not built, and there is no C++ compiler."
        yield Finding("compiler", "failed", (says,), "apt install build-essential, or the like")


def limits(_: Configuration) -> Iterator[Finding]:
    files, _most = resource.getrlimit(resource.RLIMIT_NOFILE)
    space = resource.getrlimit(resource.RLIMIT_AS)[0]
    says = (
        "Any number of open files."
        if files == resource.RLIM_INFINITY
        else f"{files:,} open files; each connection and open index takes some."
    )
    if space != resource.RLIM_INFINITY:
        held = f"The address space is limited to {size(space)}; models are mapped into it."
        yield Finding("limits", "warning", (held, says), "ulimit -v unlimited")
    elif 0 <= files < _FEW_FILES:
        fix = "ulimit -n 4096, or LimitNOFILE=4096 in the unit"
        yield Finding("limits", "warning", (f"Only {says}",), fix)
    else:
        yield Finding("limits", "ok", (says,))


def _described(cpuinfo: Path) -> tuple[str, frozenset[str]]:
    """Name and instructions of the processor, as far as the system tells."""
    try:
        text = cpuinfo.read_text("utf-8", "replace")
    except OSError:
        return platform.processor() or platform.machine(), frozenset()
    name = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", text, re.MULTILINE)
    features = frozenset() if flags is None else frozenset(flags[1].split())
    return platform.machine() if name is None else " ".join(name[1].split()), features
