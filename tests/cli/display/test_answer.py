"""Answers in a terminal and elsewhere."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.segment import Segment

from localassist.cli.display import AnswerView, answer, markdown
from localassist.cli.display.screen import Screen, reflows
from tests.cli.display.terminals import Terminal
from tests.cli.display.test_blocks import LONG, TEXTS

TEXT = """# Über uns
Ein **fetter** Satz mit `Code` und einem [Link](https://example.org/a) und [1].

- eins
  1. innen 日本語のテキスト
- zwei 👍🏽 e\u0301

| Name | Größe |
|:--|--:|
| Berg | 8.848 |

```python
def f():
    return "x"
```
"""


@pytest.fixture(autouse=True)
def draws_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "_LEAST_SECONDS", 0.0)
    monkeypatch.setattr(answer, "_REST", 0)


def pieces(text: str, size: int) -> Iterator[str]:
    rest = iter(text)
    while piece := "".join(islice(rest, size)):
        yield piece


def streamed(text: str, size: int, columns: int, rows: int) -> Terminal:
    terminal = Terminal(columns, rows)
    with AnswerView(terminal.console(width=columns, height=rows)) as view:
        for piece in pieces(text, size):
            view.text(piece)
            time.sleep(0)
    return terminal


def at_once(text: str, columns: int) -> list[str]:
    terminal = Terminal(columns, 24)
    terminal.console(width=columns, height=24).print(markdown(text), crop=False, end="")
    return terminal.lines()


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(TEXTS, st.integers(1, 30), st.sampled_from([20, 40, 80]), st.sampled_from([4, 24]))
@example(TEXT, 1, 40, 24)
@example(TEXT, 3, 80, 6)
@example(LONG, 7, 80, 10)
def test_the_screen_at_the_end_is_that_of_the_whole_text(
    text: str, size: int, columns: int, rows: int
) -> None:
    assert streamed(text, size, columns, rows).lines() == at_once(text, columns)


def test_the_cursor_ends_at_the_beginning_of_a_line() -> None:
    terminal = streamed("some words", 2, 40, 24)
    assert (terminal.screen.cursor.y, terminal.screen.cursor.x) == (1, 0)
    assert pytest.importorskip("pyte").modes.DECAWM in terminal.screen.mode


def test_other_output_may_stand_between_two_texts() -> None:
    terminal = Terminal(40, 24)
    console = terminal.console(width=40, height=24)
    with AnswerView(console) as view:
        view.text("before")
        view.close()
        console.print("between")
        view.text("after")
    assert terminal.lines() == ["before", "between", "after"]


def test_control_characters_do_not_reach_the_terminal() -> None:
    text = (
        "a\x1b[2Jb\x07\x1b]0;title\x07 `\x1b[31m`\n\n```\x1b[5m\n\x9b3J\n```\n\n[x](http://a\x1b)"
    )
    written = "".join(streamed(text + " &#x202e; &#27;", 5, 80, 24).written)
    assert not set(written) & {"\x07", "\x9b", "\u202e"}
    assert "\x1b[2J" not in written and "\x1b]" not in written and "\x1b[5m" not in written
    assert "\\u001b[2Jb" in written


def test_an_error_of_the_output_is_told() -> None:
    class Gone(Terminal):
        def write(self, text: str) -> int:
            if text:
                raise BrokenPipeError(32, "gone")
            return 0

    view = AnswerView(Gone().console(width=40, height=24))
    view.text("a")
    with pytest.raises(BrokenPipeError):
        view.close()


@pytest.mark.parametrize("options", [{"force_terminal": False}, {"_environ": {"TERM": "dumb"}}])
def test_elsewhere_it_is_the_bare_text(options: dict[str, object]) -> None:
    terminal = Terminal()
    with AnswerView(terminal.console(**options)) as view:
        for piece in pieces("# A *b*\n\n- c \x1b[1m", 3):
            view.text(piece)
    assert "".join(terminal.written) == "# A *b*\n\n- c \\u001b[1m\n"


def test_without_colours_there_are_none() -> None:
    terminal = Terminal(40, 24)
    console = terminal.console(width=40, height=24, _environ={"NO_COLOR": "1"})
    with AnswerView(console) as view:
        view.text(TEXT)
    assert not re.search(r"\x1b\[[\d;]*[34]\d", "".join(terminal.written))
    assert "Berg  8.848" in terminal.lines()


def test_an_encoding_that_lacks_characters_loses_only_those() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    console = Console(file=file, force_terminal=True, _environ={}, width=40, height=24)
    with AnswerView(console) as view:
        view.text("- für\n\n---\n")
    file.seek(0)
    assert "* f?r" in file.read()


def test_live_lines_are_found_again_after_the_window_was_made_narrower() -> None:
    for is_reflowing, rows in ((True, 4), (False, 2)):
        terminal = Terminal(80, 24)
        console = terminal.console(width=80, height=24)
        screen = Screen(console, reflows=is_reflowing)
        screen.draw([], ["x" * 60, "y" * 50])
        console.width = 40
        screen.draw([], ["z"])
        assert f"\x1b[{rows}A" in terminal.written[-1]


def test_a_wider_window_needs_no_counting() -> None:
    terminal = Terminal(40, 24)
    console = terminal.console(width=40, height=24)
    screen = Screen(console, reflows=True)
    screen.draw([], ["x" * 40])
    terminal.screen.resize(24, 80)
    console.width = 80
    screen.draw(["final"], [])
    assert terminal.lines() == ["final"]


def test_terminals_that_cut_lines_are_known() -> None:
    assert reflows({"TERM": "xterm-256color"}) and reflows({"TERM": "screen-256color", "TMUX": "x"})
    assert not reflows({"TERM": "linux"}) and not reflows({"TERM": "xterm", "XTERM_VERSION": "1"})


def test_a_flood_is_drawn_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    drawn: list[int] = []
    draw = Screen.draw
    monkeypatch.setattr(Screen, "draw", lambda *given: (drawn.append(1), draw(*given))[1])
    count = 4_000
    terminal = Terminal(80, 24)
    with AnswerView(terminal.console(width=80, height=24)) as view:
        for number in range(count):
            view.text(f"word{number} ")
    assert len(drawn) < count / 20
    assert f"word{count - 1}" in terminal.lines()[-1]


def test_long_lines_of_code_can_be_copied_whole() -> None:
    terminal = Terminal(20, 24)
    with AnswerView(terminal.console(width=20, height=24)) as view:
        view.text("- ```\n  " + "x" * 50 + "\n  ```\n")
    assert "x" * 50 in "".join(terminal.written)


_INTERRUPTED = """
import time
from rich.console import Console
from localassist.cli.display import AnswerView
try:
    with AnswerView(Console()) as view:
        view.text("- one **two")
        time.sleep(0.3)
        print(end="", flush=True)
        view.text(" three")
        while True:
            time.sleep(0.01)
except KeyboardInterrupt:
    print("stopped")
"""


def test_ctrl_c_leaves_the_text_so_far() -> None:
    parent, child = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "40", "LINES": "10"}
    with subprocess.Popen(
        [sys.executable, "-c", _INTERRUPTED], stdin=child, stdout=child, env=environment
    ) as process:
        os.close(child)
        output = b""
        while b"three" not in output:
            output += os.read(parent, 4096)
        process.send_signal(signal.SIGINT)
        try:
            while piece := os.read(parent, 4096):
                output += piece
        except OSError:  # the terminal's other end has been closed
            pass
        finally:
            process.kill()  # where it goes on talking, the test has failed and must end
    os.close(parent)
    terminal = Terminal(40, 10)
    terminal.write(output.decode())
    assert terminal.lines() == ["• one **two three", "stopped"]
    assert process.returncode == 0


def test_segments_of_a_line_are_as_wide_as_they_look() -> None:
    console = Terminal().console(width=80, height=24)
    for text, cells in (("日本", 4), ("e\u0301", 1), ("👍🏽", 2), ("שלום", 4), ("👩\u200d👧", 2)):
        (line, *_) = Segment.split_lines(console.render(markdown(text)))
        assert Segment.get_line_length(line) == cells
