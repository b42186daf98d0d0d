"""What others have named or written reaches a terminal as text and never as a command to it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.panel import Panel
from rich.progress import Progress, TextColumn
from rich.table import Table
from rich.text import Text

from localassist.cli import output
from localassist.cli.output import CleanConsole, explain_os, report, say_json

TITLE = "\x1b]0;pwned\x07"  # sets the title of a window
ATTACKS = [TITLE, "\x1b[2J", "\x9b2J", "\x1b]52;c;cm0gLXJm\x07", "\x08\x08", "\u202egnp.exe"]


def shown(renderable: object, *, is_terminal: bool, **options: object) -> str:
    out = io.StringIO()
    console = CleanConsole(
        file=out, force_terminal=is_terminal, color_system=None, width=60, highlight=False
    )
    console.print(renderable, **options)  # type: ignore[arg-type]
    return out.getvalue()


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("is_terminal", [True, False])
def test_no_text_acts(attack: str, is_terminal: bool) -> None:
    table = Table(box=None)
    table.add_column(attack)
    table.add_row(Text(f"a{attack}"), f"b{attack}")
    for one in (attack, Text(attack), Panel(attack), table, f"[bold]{attack}[/bold]"):
        said = shown(one, is_terminal=is_terminal)
        assert not set(said) & set("\x1b\x9b\x07\x08\u202e"), said


def test_what_is_printable_stays_as_it_is() -> None:
    said = shown("Zoë\tsays: 日本語 👩\u200d💻\nnext", is_terminal=False)
    assert "Zoë" in said and "日本語 👩\u200d💻\nnext" in said


def test_styles_and_moves_of_our_own_stay() -> None:
    out = io.StringIO()
    console = CleanConsole(file=out, force_terminal=True, color_system="standard", width=60)
    console.print("[red]red[/red]")
    assert "\x1b[31mred\x1b[0m" in out.getvalue()
    with Progress(TextColumn("{task.description}", markup=False), console=console) as bar:
        bar.add_task(TITLE)
    assert "\x1b[?25l" in out.getvalue() and "\x1b]" not in out.getvalue()


def test_a_message_of_an_error_is_one_line_that_does_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(output, "err_console", CleanConsole(file=out, width=200))
    report(f"There is no {tmp_path / TITLE}.")
    assert "\\u001b]0;pwned" in out.getvalue() and out.getvalue().count("\n") == 1


def test_json_cannot_act_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"name": "é\x9b31m\u202e\U000e0001", "list": [1]}
    say_json(value)
    out = capsys.readouterr().out
    assert "é" in out and all(c.isprintable() or c == "\n" for c in out)
    assert json.loads(out) == value


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(2, "No such file", "a.md"), "a.md: No such file"),
        (OSError(28, "No space left"), "No space left."),
        (OSError("A sentence."), "A sentence."),
        (TimeoutError(), "TimeoutError."),
    ],
)
def test_an_error_of_the_system_always_says_something(error: OSError, said: str) -> None:
    assert explain_os(error) == said
