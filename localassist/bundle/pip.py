"""pip in a process of its own: which wheels a machine needs, and the wheels.

This is where a bundle comes from the network, by way of what pip is configured with.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localassist.bundle.targets import Target
from localassist.errors import BundleError
from localassist.programs import Ended, run_program

# pip chooses wheels for another machine, but asks this one about conditions such as
# `python_version < "3.11"` (pip#11664), and whether its Python is new enough for a package: both
# are answered for the other one here.
_FOR_ANOTHER_MACHINE = """
import json, sys
from pip._internal.resolution.resolvelib import factory
from pip._vendor.packaging import markers
answers = json.loads(sys.argv.pop(1))
ours = markers.default_environment
markers.default_environment = lambda: {**ours(), **answers}
if not markers.Marker('python_version == "%s"' % answers["python_version"]).evaluate():
    sys.exit("ERROR: this release of pip cannot be asked for another machine")
version = tuple(map(int, answers["python_full_version"].split(".")))
of_python = factory.RequiresPythonCandidate
factory.RequiresPythonCandidate = lambda _: of_python(version)
from pip._internal.cli.main import main
sys.exit(main())
"""
NEWEST_PATCH = 99
"""Later than any patch release of a Python."""

_NO_WHEEL = re.compile(r"No matching distribution found for (\S+)")
_CONFLICT = re.compile(r"^The conflict is caused by:\n((?: +.+\n)+)", re.MULTILINE)
_PINNED = re.compile(r"\(constraint\) (\S+)")
_QUIET = ("--progress-bar", "off", "--disable-pip-version-check", "--no-input")


class PipFailed(BundleError):
    """pip gave up; ``missing`` is the requirement that nothing was found for, if it was that,
    ``said`` all that pip and the compilers below it had to say."""

    def __init__(self, message: str, missing: str | None, said: str) -> None:
        super().__init__(message)
        self.missing = missing
        self.said = said


@dataclass(frozen=True, slots=True)
class Resolved:
    """One wheel that pip has chosen. ``sha256`` is empty where the index does not say it."""

    name: str
    version: str
    url: str
    sha256: str
    metadata: Mapping[str, Any]


def resolve(target: Target, requirements: Sequence[str], patch: int = 0) -> list[Resolved]:
    """The wheels that pip would install on such a machine, with this patch release of Python.
    ``requirements`` are arguments of ``pip install``. Downloads metadata only where the index has
    it apart. Raises PipFailed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        run(
            [
                "install", "--dry-run", "--ignore-installed", "--report", str(report),
                "--target", str(Path(folder) / "none"), *_choice(target, patch), *requirements,
            ],
            target.marker_values(patch),
        )  # fmt: skip
        items = json.loads(report.read_bytes())["install"]
    return [_resolved(item) for item in items]


def download(target: Target, requirements: Sequence[str], folder: Path) -> None:
    """Put wheels, and nothing they need besides, into a folder. Raises PipFailed."""
    choice = _choice(target, NEWEST_PATCH)
    command = ["download", "--no-deps", "--dest", str(folder), *choice, *requirements]
    run(command, target.marker_values(NEWEST_PATCH))


def build(requirement: str, folder: Path, arguments: Sequence[str] = (), cmake: str = "") -> None:
    """Build a wheel for this machine from source, or take the one that pip once built."""
    environ = {**os.environ, **({"CMAKE_ARGS": cmake} if cmake else {})}
    command = ["wheel", "--no-deps", "--wheel-dir", str(folder), *arguments, requirement]
    run(command, None, environ=environ)


def run(
    arguments: Sequence[str],
    answers: Mapping[str, str] | None,
    environ: Mapping[str, str] | None = None,
) -> None:
    """One call of pip, with ``answers`` for another machine; what it says last is why it failed."""
    command = [sys.executable, "-m", "pip"]
    if answers is not None:
        command = [sys.executable, "-c", _FOR_ANOTHER_MACHINE, json.dumps(answers)]
    done = run_program([*command, arguments[0], *_QUIET, *arguments[1:]], environ)
    if done.status:
        raise _failure(done)


def _choice(target: Target, patch: int) -> list[str]:
    platforms = [word for tag in target.wheel_platforms() for word in ("--platform", tag)]
    python = ["--python-version", f"{target.python}.{patch}", "--implementation", "cp"]
    return ["--only-binary", ":all:", *python, *platforms]


def _resolved(item: Mapping[str, Any]) -> Resolved:
    metadata, source = item["metadata"], item["download_info"]
    hashes = source.get("archive_info", {}).get("hashes", {})
    sha256 = hashes.get("sha256", "")
    return Resolved(metadata["name"], metadata["version"], source["url"], sha256, metadata)


def _failure(done: Ended) -> PipFailed:
    found = _NO_WHEEL.search(done.said)
    reason, missing = (found[0], found[1]) if found else (done.reason, None)
    if conflict := _CONFLICT.search(done.said):
        reason = "; ".join(line.strip() for line in conflict[1].splitlines())
        pinned = _PINNED.search(reason)
        missing = pinned[1] if pinned else None
    if "No space left on device" in done.said:
        reason = "the disk is full"
    elif "connection broken" in done.said or "NewConnectionError" in done.said:
        reason = f"the package index cannot be reached ({reason})"
    return PipFailed(f"pip: {reason}", missing, done.said)
