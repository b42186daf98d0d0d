"""``localassist docs`` in a terminal and in a pipe."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from localassist.cli import docs as command
from localassist.cli.main import app
from localassist.pages import INDEX, all_pages


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        app(["docs", *arguments])
    return int(caught.value.code or 0)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A narrow terminal; what goes to the pager is kept."""
    pages: list[str] = []
    narrow = Console(width=40, height=20, file=io.StringIO(), force_terminal=True, no_color=True)
    monkeypatch.setattr(command, "console", narrow)
    monkeypatch.setattr("pydoc.pager", pages.append)
    return pages


def test_a_pipe_gets_the_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("errors") == 0
    assert capsys.readouterr().out.strip() == all_pages()["errors"].text().strip()


def test_without_a_page_it_says_where_to_begin(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    assert capsys.readouterr().out.startswith("# localassist\n")


@pytest.mark.parametrize("name", list(all_pages()))
def test_every_page_fits_a_narrow_terminal(name: str, shown: list[str]) -> None:
    assert run(name) == 0
    (text,) = shown
    code = "".join(re.findall(r"^ *```.*?^ *```", all_pages()[name].text(), re.M | re.S))
    lines = [line.strip() for line in Text.from_ansi(text).plain.splitlines()]
    assert all(len(line) <= 40 or line in code for line in lines)
    assert "](" not in text and "<br>" not in text and "<!--" not in text


def test_wide_tables_become_lists(shown: list[str]) -> None:
    run("configuration")
    text = " ".join(Text.from_ansi(shown[0]).plain.split())
    assert "max_queued" in text and "environment variable: LOCALASSIST_RUNS__MAX_QUEUED" in text


def test_a_part_of_a_name_will_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("config") == 0
    assert capsys.readouterr().out.startswith("# Configuration\n")


def test_what_may_be_several_pages_is_asked_back(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("sandbox") == 1
    said = capsys.readouterr()
    assert "sandbox_security" in said.out and "sandbox_providers" in said.out
    assert "# " not in said.out and "name one" in said.err


def test_an_unknown_page_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("zzzz") == 1
    said = capsys.readouterr()
    assert said.out == "" and "No page is called zzzz." in said.err


def test_the_list_names_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--list") == 0
    lines = [line.split()[0] for line in capsys.readouterr().out.splitlines() if "  " in line]
    assert lines == list(all_pages())


def test_a_search_shows_page_line_and_heading(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--search", "lone retry-after") == 1
    assert run("--search", "CapacityError retry-after") == 0
    first, line = capsys.readouterr().out.splitlines()[:2]
    name, _, rest = first.partition(":")
    number, heading = rest.split(maxsplit=1)
    text = all_pages()[name].path.read_text(encoding="utf-8").splitlines()
    assert (name, heading) == ("errors", "Retries")
    assert text[int(number) - 1].replace("`", "") == line.strip()


@pytest.mark.parametrize(
    "wishes",
    [("errors", "--list"), ("--list", "--search", "x"), ("--path", "--list"), ("a", "--html", "x")],
)
def test_one_thing_at_a_time(wishes: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*wishes) == 2
    assert "only one of a page" in " ".join(capsys.readouterr().err.split())


def test_where_pages_lie(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--path", "errors") == 0 and run("--path") == 0
    page, folder = capsys.readouterr().out.splitlines()
    assert Path(page).is_file() and Path(folder) == Path(page).parent


def test_names_are_completed() -> None:
    assert [name for name, _ in command._complete("sandbox")] == [
        "sandbox_security",
        "sandbox_providers",
    ]


def test_pages_as_files(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "pages"
    assert run("--html", str(folder)) == 0
    assert {path.stem for path in folder.glob("*.html")} == set(all_pages())
    assert (folder / f"{INDEX}.html").read_text("utf-8").startswith("<!doctype html>")
    assert os.listdir(folder.parent) == ["pages"]


def test_a_folder_with_files_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert run("--html", str(tmp_path)) == 2
    assert os.listdir(tmp_path) == ["mine.txt"]
    assert "not empty" in " ".join(capsys.readouterr().err.split())


def test_a_full_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert run("--html", str(tmp_path / "pages")) == 1
    assert os.listdir(tmp_path) == []
    assert "No space left on device" in " ".join(capsys.readouterr().err.split())
