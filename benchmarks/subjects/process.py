"""A subject in a child process: one line of JSON asks, one line of JSON answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.common import ROOT

Command = Callable[..., Any]


class SubjectDied(Exception):
    """The child ended without an answer."""


class Subject:
    """A child that runs ``serve``. Use from one thread; ``close`` waits until it has ended."""

    def __init__(self, module: str, details: Mapping[str, Any]) -> None:
        """``details`` go to the child's main function, as JSON on the command line."""
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, json.dumps(details)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, command: str, **arguments: Any) -> Any:
        """Raises SubjectDied; what went wrong is in the child's standard error."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps([command, arguments]) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise SubjectDied(f"{command}: exit code {self._process.wait()}")
        return json.loads(line)

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Subject:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def details() -> dict[str, Any]:
    """In the child: what the parent handed over."""
    found: dict[str, Any] = json.loads(sys.argv[1])
    return found


def serve(commands: Mapping[str, Command]) -> None:
    """In the child: answer until the parent closes. Whatever else prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        command, arguments = json.loads(line)
        print(json.dumps(commands[command](**arguments)), file=answers, flush=True)
