from __future__ import annotations

from localassist.tools.code_interpreter import telling
from localassist.tools.code_interpreter.base import Execution
from localassist.tools.code_interpreter.links import LinkReader

FORM = "# What it does\n…\n"
PLOT = (
    '# Histogram\nimport matplotlib.pyplot as plt\nplt.title("Distribution of WAR")\nplt.show()\n'
)


def answer(question: str, *executions: Execution) -> str:
    parts = telling.answer(question, executions)
    assert parts is not None
    return "".join(parts)


def test_nothing_run_is_answered_freely() -> None:
    assert telling.answer("Hello", []) is None


def test_a_line_is_said_as_it_is() -> None:
    assert answer("What is 2 * 3?", Execution(FORM, "ok", "2 * 3 = 6\n")) == "2 * 3 = 6"


def test_a_table_stands_in_a_block_behind_its_title() -> None:
    said = answer("mean by region?", Execution(FORM, "ok", "The mean:\na  1\nb  2\n"))
    assert said == "The mean:\n\n```\na  1\nb  2\n```"


def test_a_figure_is_named_by_its_title() -> None:
    said = answer("Plot it", Execution(PLOT, "ok", "", ("file-1",)))
    assert said == "The figure shows “Distribution of WAR”."


def test_code_that_was_asked_for_is_shown() -> None:
    said = answer("Write a function", Execution("print(1)\n", "ok", "1\n"))
    assert "```python\nprint(1)\n```" in said
    assert said.endswith("prints `1`.")


def test_the_users_own_code_is_not_repeated() -> None:
    assert "python" not in answer("print(1)", Execution("print(1)\n", "ok", "1\n"))


def test_files_are_linked_so_that_the_links_are_found() -> None:
    files = {"my table (2).csv": "file-1", "b.json": "file-2"}
    said = answer("Convert it", Execution(FORM, "ok", "", (), files))
    reader = LinkReader(files)
    pieces = [*reader.feed(said), *reader.finish()]
    assert {link.file_id for piece in pieces for link in piece.links} == {"file-1", "file-2"}


def test_failures_are_told() -> None:
    error = "Traceback (most recent call last):\n  …\nZeroDivisionError: division by zero\n"
    assert "ZeroDivisionError: division by zero" in answer("x", Execution(FORM, "error", error))
    missing = "ModuleNotFoundError: No module named 'torch'"
    assert "`torch`, which is not installed" in answer("x", Execution(FORM, "error", missing))
    slow = answer("x", Execution(FORM, "timed_out", "Stopped after 60 seconds."))
    assert "too long" in slow and "60 seconds" in slow
    assert "stopped" in answer("x", Execution(FORM, "limit", "Over 1024 MB of memory."))


def test_only_the_last_cell_counts() -> None:
    failed = Execution("a\n", "error", "NameError: name 'a' is not defined")
    assert answer("What is a?", failed, Execution(FORM, "ok", "7\n")) == "7"


def test_silence_is_told() -> None:
    assert "printed nothing" in answer("x = 41", Execution("x = 41\n", "ok"))


def test_a_fence_in_the_logs_does_not_end_the_block() -> None:
    said = answer("x", Execution(FORM, "ok", "```\nlook\n```\n"))
    assert said.startswith("````") and said.endswith("````")


def test_code_that_the_model_wrote_can_be_seen() -> None:
    said = answer("How fast is it?", Execution("print(180 / 2.5)\n", "ok", "72.0\n"))
    assert "```python\nprint(180 / 2.5)\n```" in said and "`72.0`" in said
