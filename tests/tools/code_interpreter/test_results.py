from __future__ import annotations

import pytest

from localassist.tools.code_interpreter.base import CodeFile, Ending, Execution
from localassist.tools.code_interpreter.results import output_text
from localassist.tools.code_interpreter.spec import python_tool


def test_logs_are_the_output() -> None:
    assert output_text(Execution("print(42)", "ok", "42\n")) == "42"


def test_a_silent_cell_is_no_empty_output() -> None:
    assert "printed nothing" in output_text(Execution("x = 1", "ok"))


def test_images_and_files_are_named() -> None:
    said = output_text(Execution("…", "ok", "done", ("file-1",), {"b.csv": "f2", "a.csv": "f1"}))
    assert "1 image was shown" in said
    assert said.index("sandbox:/mnt/data/a.csv") < said.index("sandbox:/mnt/data/b.csv")


@pytest.mark.parametrize("ending", ["error", "timed_out", "died", "limit"])
def test_a_bad_ending_is_the_last_word(ending: Ending) -> None:
    said = output_text(Execution("…", ending, "log"))
    assert said.startswith("log\n[")
    assert "printed nothing" not in said


def test_the_middle_of_long_logs_is_left_out() -> None:
    lines = [f"line {n}" for n in range(5000)]
    said = output_text(Execution("…", "ok", "\n".join(lines)), 1000)
    kept = said.splitlines()
    gap = next(at for at, line in enumerate(kept) if line.startswith("[…"))
    assert kept[0] == "line 0" and kept[-1] == "line 4999"
    assert set(kept) - {kept[gap]} <= set(lines)
    missing = int(kept[gap].split()[1])
    assert missing == len("\n".join(lines)) - sum(map(len, kept)) + len(kept[gap]) - (len(kept) - 3)


def test_one_endless_line_is_cut_too() -> None:
    said = output_text(Execution("…", "ok", "ab" * 50_000), 1000)
    assert len(said) < 1100
    assert "99000 characters left out" in said


def test_the_function_lists_files() -> None:
    tool = python_tool([CodeFile("a b.csv", "file-1", 2_500_000)])
    assert tool.name == "python"
    assert "'a b.csv' (2.5 MB)" in tool.description
    assert tool.parameters["required"] == ["code"]


def test_very_many_files_are_counted() -> None:
    tool = python_tool([CodeFile(f"{n}.csv", f"file-{n}", n) for n in range(500)])
    assert "and 470 more" in tool.description
