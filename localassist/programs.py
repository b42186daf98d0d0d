"""Programs of others, run to their end: what they say is read, and they end when we do.

A program whose parent is killed lives on: pip would go on writing into a folder that the next
attempt clears away. On Linux the system ends it with us; elsewhere it is ended where we still can.
That is the program itself: what it has started, such as a compiler under pip, may outlive it.

Standard library only: the installer of a bundle runs this before anything is installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Becomes the program, once the system knows that it dies with its parent; see prctl(2).
_TIED = """
import ctypes, os, signal, sys
parent, command = int(sys.argv[1]), sys.argv[2:]
if sys.platform == "linux":
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
if os.getppid() != parent:  # it was gone before
    sys.exit(1)
try:
    os.execvp(command[0], command)
except OSError as error:
    sys.exit(f"ERROR: {command[0]} cannot be run: {error.strerror}")
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended, and all that it said, errors among it."""

    status: int
    said: str

    @property
    def reason(self) -> str:
        """The last thing it called an error, or the last thing it said."""
        lines = [line.strip() for line in self.said.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR: ")]
        return (errors or lines or [f"status {self.status}"])[-1].removeprefix("ERROR: ")


def tied(command: Sequence[str | Path]) -> list[str]:
    """The command line that runs this one as a child which does not outlive us."""
    return [sys.executable, "-I", "-S", "-c", _TIED, str(os.getpid()), *map(str, command)]


def run_program(
    command: Sequence[str | Path],
    environ: Mapping[str, str] | None = None,
    *,
    listen: Callable[[str], None] = lambda line: None,
    umask: int = -1,
) -> Ended:
    """Run it without input; ``listen`` gets every line as soon as it is said. Interrupted, the
    program is killed."""
    lines: list[str] = []
    with subprocess.Popen(
        tied(command),
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        umask=umask,
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                lines.append(line)
                listen(line)
        except BaseException:
            process.kill()
            raise
    return Ended(process.returncode, "".join(lines))
