"""A child's words count, however it ends."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from localassist.child import Outcome, run_child


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that children can be started with, as ``spoken``."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "spoken.py"


@pytest.mark.parametrize(
    ("body", "exit_code"),
    [
        ("", 0),
        ("raise SystemExit(3)", 3),
        ("import os; os.kill(os.getpid(), 9)", -9),
        ("import time; time.sleep(60)", None),
        ("import os\ntry: os.kill(os.getpid(), 2)\nexcept BaseException: raise SystemExit(1)", -2),
    ],
)
def test_what_was_said_before_the_end_is_heard(
    module: Path, body: str, exit_code: int | None
) -> None:
    module.write_text(
        "from localassist.child import read_request, say\n"
        "say({'got': read_request()['question']})\n"
        f"{body}\n"
    )
    outcome = run_child("spoken", {"question": "é"}, timeout_seconds=5)
    assert outcome == Outcome(({"got": "é"},), exit_code)
    assert outcome.ended_well == (exit_code == 0)


def test_only_whole_objects_are_lines(module: Path) -> None:
    module.write_text("""print('noise\\n[1]\\n{"a": 1}\\n{"b": ', end='')""")
    assert run_child("spoken", {}, timeout_seconds=5).lines == ({"a": 1},)


def test_a_module_that_does_not_exist_ends_badly() -> None:
    assert not run_child("localassist.no_such_module", {}, timeout_seconds=30).ended_well


def test_a_child_that_nobody_wants_any_more_is_killed(module: Path, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    module.write_text(
        "import os, pathlib, time\n"
        f"pathlib.Path({str(begun)!r}).write_text(str(os.getpid()))\n"
        "time.sleep(60)\n"
    )

    def check() -> None:
        if begun.exists() and begun.read_text():
            raise LookupError

    with pytest.raises(LookupError):
        run_child("spoken", {}, timeout_seconds=30, check=check)
    with pytest.raises(ProcessLookupError):
        os.kill(int(begun.read_text()), 0)
