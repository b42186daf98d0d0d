"""Programs of others: what they say is read, and none outlives us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from localassist.programs import Ended, run_program

SAY_AND_WAIT = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"


def test_lines_come_as_they_are_said_and_all_together() -> None:
    lines: list[str] = []
    code = "import sys; print('one'); print('two', file=sys.stderr, flush=True); sys.exit(3)"
    done = run_program([sys.executable, "-u", "-c", code], listen=lines.append)
    assert lines == ["one\n", "two\n"] and done == Ended(3, "one\ntwo\n")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("ERROR: no such wheel\nhint: none\n", "no such wheel"),
        ("first\n\n last \n", "last"),
        ("", "status 1"),
    ],
)
def test_why_it_failed_is_what_it_called_an_error_or_said_last(said: str, reason: str) -> None:
    assert Ended(1, said).reason == reason


def test_one_that_is_not_there_says_so(tmp_path: Path) -> None:
    done = run_program([tmp_path / "none"])
    assert done.status == 1
    assert done.reason == f"{tmp_path}/none cannot be run: No such file or directory"


def test_a_signal_that_ends_it_is_its_status() -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGILL)"
    assert run_program([sys.executable, "-c", code]).status == -signal.SIGILL


def test_interrupted_it_is_killed() -> None:
    pids: list[int] = []

    def interrupt(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_program([sys.executable, "-c", SAY_AND_WAIT], listen=interrupt)
    assert is_gone(pids[0])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_it_ends_with_a_parent_that_is_killed() -> None:
    code = (
        "import sys; from localassist.programs import run_program\n"
        "run_program(sys.argv[1:], listen=lambda line: print(line, end='', flush=True))"
    )
    command = [sys.executable, "-c", code, sys.executable, "-c", SAY_AND_WAIT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    assert is_gone(pid)


def is_gone(pid: int) -> bool:
    """Whether the process ends before long; one that was not waited for counts as ended."""
    for _ in range(200):
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
        except (ProcessLookupError, FileNotFoundError):
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False
