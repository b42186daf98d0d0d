"""Processes that are killed, from the side of whoever kills them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conformance.serving import ROOT, clean_environ
from tests.faults.nursery import ENVIRONMENT

READY_SECONDS = 60


@dataclass
class Child:
    """A process of the nursery; what it says is in ``output``."""

    pid: int
    output: Path

    def first_line(self) -> str:
        """What it says when it is ready."""
        until = time.monotonic() + READY_SECONDS
        while not (lines := self.lines()):
            if not self.is_alive() or time.monotonic() > until:
                raise AssertionError("the process did not become ready")
            time.sleep(0.005)
        return lines[0]

    def lines(self) -> list[str]:
        return self.output.read_text().splitlines()

    def is_alive(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def kill(self) -> None:
        """End it without a warning, as a power cut would."""
        if self.is_alive():
            os.kill(self.pid, signal.SIGKILL)
        while self.is_alive():
            time.sleep(0.002)


class Nursery:
    """A process that has everything imported, and forks."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        kept = {name: value for name, value in os.environ.items() if name == ENVIRONMENT}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.nursery"],
            cwd=ROOT,
            env=clean_environ() | kept,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._children: list[Child] = []

    def start(self, kind: str, home: Path, *more: Any) -> Child:
        assert self._process.stdin is not None and self._process.stdout is not None
        output = self._folder / f"child-{len(self._children)}"
        output.touch()
        self._process.stdin.write(json.dumps([kind, str(output), str(home), *more]) + "\n")
        self._process.stdin.flush()
        child = Child(int(self._process.stdout.readline()), output)
        self._children.append(child)
        return child

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        for child in self._children:
            child.kill()
        self._process.stdin.close()
        self._process.wait(READY_SECONDS)
        self._process.stdout.close()
