"""What works on this machine, what does not, and what an operator can do about it.

Looks at Python, the data folder, the environment of kernels, and each way of isolating them.
Changes no data, and opens neither the database nor a model.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from localassist.errors import SandboxUnavailable
from localassist.sandbox.choosing import named
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.environment import BUILD, Environment, find_environment, is_current
from localassist.sandbox.providers import PROVIDERS
from localassist.sandbox.verdict import Verdict

Status = Literal["ok", "warning", "failed", "unused"]
"""``warning``: it works, with a reservation. ``unused``: neither wanted nor needed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about one thing; ``fix`` is a command where there is one."""

    name: str
    status: Status
    says: tuple[str, ...]
    fix: str | None = None


def examine(home: Path, sandbox: SandboxSettings) -> Iterator[Finding]:
    """One finding after the other, as they are made; starting a sandbox takes a moment."""
    yield Finding("python", "ok", (f"{platform.python_version()} at {sys.executable}.",))
    yield _data_folder(home)
    environment, finding = _environment(sandbox, home)
    yield finding
    for name in PROVIDERS:
        yield _isolation(name, sandbox, environment)


def _data_folder(home: Path) -> Finding:
    there = next(path for path in (home, *home.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        says = f"{there} cannot be written: {error.strerror}."
        return Finding("data folder", "failed", (says,), "Choose another with --home.")
    made = "" if there == home else ", which will be made"
    free = os.statvfs(there)
    space = f"{free.f_bavail * free.f_frsize / 1e9:,.0f} GB are free"
    return Finding("data folder", "ok", (f"{home}{made}; {space}.",))


def _environment(sandbox: SandboxSettings, home: Path) -> tuple[Environment | None, Finding]:
    name = "kernel environment"
    try:
        environment = find_environment(sandbox, home)
    except SandboxUnavailable as error:
        return None, Finding(name, "failed", (error.message,), BUILD)
    says = f"{environment.folder}, Python from {environment.python_base}."
    if is_current(sandbox, home):
        return environment, Finding(name, "ok", (says,))
    stale = "It was built for another release or other packages."
    return environment, Finding(name, "warning", (says, stale), BUILD)


def _isolation(name: str, sandbox: SandboxSettings, environment: Environment | None) -> Finding:
    is_wanted = name == named(sandbox).name
    verdict = PROVIDERS[name](sandbox).probe(environment)
    status = _status(verdict) if is_wanted else "unused"
    works = f"works; protection: {verdict.level}" if verdict.ok else "does not work here"
    chosen = "" if is_wanted else " Not chosen by sandbox.provider."
    says = (f"{name} {works}.{chosen}", *verdict.reasons)
    return Finding(f"isolation: {name}", status, says, verdict.fix_hint if is_wanted else None)


def _status(verdict: Verdict) -> Status:
    if not verdict.ok:
        return "failed"
    return "ok" if verdict.level == "strong" else "warning"
