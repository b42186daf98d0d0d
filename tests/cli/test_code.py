from __future__ import annotations

from pathlib import Path

import pytest

from localassist.cli.chat.code import CodeView, image_names, save
from localassist.client.tool_runner import CodePiece
from tests.cli.conftest import Run

PNG = b"\x89PNG\r\n\x1a\n"


def test_code_and_its_output_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    view = CodeView()
    for part, text in (
        ("input", "x = 4"),
        ("input", "1\nprint(x)"),
        ("logs", "41\n"),
        ("logs", "done"),
        ("input", "x"),
    ):
        view.show(CodePiece(part, text))  # type: ignore[arg-type]
    view.close()
    assert capsys.readouterr().err == "│ x = 41\n│ print(x)\n  41\n  done\n│ x\n"


def test_what_code_prints_does_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    view = CodeView()
    view.show(CodePiece("logs", "\x1b[2Jgone\r\x07\n"))
    assert capsys.readouterr().err == "  \\u001b[2Jgone\\u000d\\u0007\n"


@pytest.mark.parametrize(
    ("name", "saved"),
    [
        ("out.csv", "out.csv"),
        ("../../etc/passwd.txt", "passwd.txt"),
        ("/", "file.png"),
        ("..", "file.png"),
        (".bashrc", "bashrc.png"),
        ("a\nb\x1b.txt", "a_b_.txt"),
        ("plot", "plot.png"),
    ],
)
def test_a_file_is_saved_under_its_own_name_within_the_folder(
    tmp_path: Path, name: str, saved: str
) -> None:
    path = save(tmp_path / "outputs", name, PNG)
    assert path == tmp_path / "outputs" / saved
    assert path.read_bytes() == PNG


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    paths = [save(tmp_path, "a.txt", content) for content in (b"1", b"2", b"3")]
    assert [path.name for path in paths] == ["a.txt", "a (2).txt", "a (3).txt"]
    assert [path.read_bytes() for path in paths] == [b"1", b"2", b"3"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--file", "data.csv"), "add --code"),
        (("--code", "--file", "nope.csv"), "no file nope.csv"),
        (("--code", "--file", "folder"), "folder is a folder"),
        (("--code", "--file", "empty.csv"), "empty.csv is empty"),
        (("--code", "--out", "empty.csv"), "empty.csv is not a folder"),
    ],
)
def test_what_cannot_be_given_or_saved_is_said_at_once(
    pipe: Run,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.csv").touch()
    monkeypatch.chdir(tmp_path)
    assert pipe("Plot it.", *arguments) == 2
    assert said in capsys.readouterr().err


def test_without_isolation_nothing_is_made_up(
    pipe: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LOCALASSIST_SANDBOX__ENVIRONMENT", str(tmp_path / "nowhere"))
    assert pipe("What is 2 + 2?", "--code") == 2
    out, err = capsys.readouterr()
    assert out == "" and "localassist sandbox build" in err


@pytest.mark.parametrize(
    ("code", "count", "names"),
    [
        ('plt.title("Sales by month")', 1, ["Sales-by-month"]),
        ('plt.title("a/b: Größe")\nplt.show()\nplt.title("c")', 2, ["a-b-Größe", "c"]),
        ("plt.plot([1, 2])", 2, ["figure", "figure"]),
        ('plt.title("One")', 2, ["figure", "figure"]),
        ('plt.title("…")', 1, ["figure"]),
        ("not python", 1, ["figure"]),
        (f"plt.title({'x' * 200!r})", 1, ["x" * 60]),
    ],
)
def test_images_are_called_after_their_titles(code: str, count: int, names: list[str]) -> None:
    assert image_names(code, count) == names
