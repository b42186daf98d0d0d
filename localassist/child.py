"""Runs one of our modules in a process of its own, which may crash, hang or be killed.

The child reads one JSON request from its standard input and writes JSON objects, one a line. What
it wrote before it died counts. Knows nothing of what is asked.
"""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import localassist
from localassist import clock
from localassist.offline import seal

_log = logging.getLogger(__name__)

Line = dict[str, Any]

_SECONDS_BETWEEN_CHECKS = 0.2


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a child said, and how it ended. ``exit_code`` is None where it took too long."""

    lines: tuple[Line, ...]
    exit_code: int | None

    @property
    def ended_well(self) -> bool:
        return self.exit_code == 0


def run_child(
    module: str,
    request: Mapping[str, Any],
    *,
    timeout_seconds: float,
    check: Callable[[], None] = lambda: None,
) -> Outcome:
    """Start ``python -m module`` and wait for its end; when this is interrupted it is killed.
    ``check`` is called now and then meanwhile; what it raises interrupts this."""
    end = clock.monotonic() + timeout_seconds
    unsent: bytes | None = json.dumps(request).encode()
    with subprocess.Popen(
        [sys.executable, "-m", module],
        cwd=Path(localassist.__file__).resolve().parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        try:
            while True:
                try:
                    output, errors = child.communicate(unsent, timeout=_SECONDS_BETWEEN_CHECKS)
                    break
                except subprocess.TimeoutExpired:
                    unsent = None
                if clock.monotonic() >= end:
                    child.kill()
                    return Outcome(_parse(child.communicate()[0]), None)
                check()
        except BaseException:
            child.kill()
            raise
    if child.returncode != 0:
        last = errors.decode("utf-8", "replace").strip().rpartition("\n")[2]
        _log.debug("%s ended with %d: %s", module, child.returncode, last)
    return Outcome(_parse(output), child.returncode)


def read_request() -> Line:
    """In the child: what it is asked. From here on Ctrl-C, which reaches all processes of a
    terminal, ends it as a signal does: libraries turn KeyboardInterrupt into errors that look like
    findings. And from here on it reaches no other machine."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    seal()
    request: Line = json.load(sys.stdin)
    return request


def say(line: Mapping[str, Any]) -> None:
    """In the child: one line for the parent, at once, since the next step may be the last."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _parse(output: bytes) -> tuple[Line, ...]:
    """All whole lines; a killed child may leave half of one."""
    lines = []
    for text in output.splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            lines.append(line)
    return tuple(lines)
