"""``localassist files`` and ``localassist stores``, driven as a user drives them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from localassist.cli.main import app
from localassist.engine import ScriptedEngine

Run = Callable[..., int]
Capture = pytest.CaptureFixture[str]
pytestmark = [
    pytest.mark.usefixtures("engine"),
    pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning"),
]


@pytest.fixture
def run() -> Run:
    """The exit code of ``localassist`` with these arguments."""

    def run(*arguments: object) -> int:
        with pytest.raises(SystemExit) as caught:
            app([str(argument) for argument in arguments])
        return int(caught.value.code or 0)

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "tea.txt").write_text("Green tea wants water of eighty degrees.")
    (folder / "coffee.md").write_text("# Coffee\n\nCoffee wants ninety-four degrees.")
    return folder


def test_files_are_added_listed_and_removed(run: Run, folder: Path, capsys: Capture) -> None:
    assert run("files", "add", folder) == 0
    ids = {line.split()[1]: line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert ids.keys() == {"tea.txt", "coffee.md"}
    assert run("files", "list") == 0
    shown = capsys.readouterr().out
    assert "tea.txt" in shown and "assistants" in shown and "40 B" in shown
    assert run("files", "rm", ids["tea.txt"]) == 0
    run("files", "list")
    assert "tea.txt" not in capsys.readouterr().out.splitlines()[-1]


def test_an_unknown_file_is_told(run: Run, capsys: Capture) -> None:
    assert run("files", "rm", "file-unknown") == 1
    assert "No such File object: file-unknown" in capsys.readouterr().err


def test_a_store_is_made_searched_and_removed(run: Run, folder: Path, capsys: Capture) -> None:
    assert run("stores", "create", "drinks", folder) == 0
    assert "drinks: 2 added." in capsys.readouterr().err
    assert run("stores", "search", "drinks", "How hot is green tea?", "-k", "1") == 0
    first, text = capsys.readouterr().out.splitlines()[:2]
    assert "tea.txt" in first and "eighty degrees" in text
    assert run("stores", "list") == 0
    assert "drinks" in capsys.readouterr().out
    assert run("stores", "rm", "drinks") == 0
    assert run("stores", "show", "drinks") == 2
    assert "There is no store 'drinks'" in capsys.readouterr().err


def test_scores_are_explained(run: Run, folder: Path, capsys: Capture) -> None:
    run("stores", "create", "drinks", folder)
    capsys.readouterr()
    assert run("stores", "search", "drinks", "green tea", "--explain", "-k", "1") == 0
    shown = capsys.readouterr().out
    assert "tea.txt" in shown and "unit 0" in shown
    assert all(word in shown for word in ("dense", "lexical", "±1", "±4", "fused"))


def test_sync_removes_what_is_gone(run: Run, folder: Path, capsys: Capture) -> None:
    run("stores", "create", "drinks", folder)
    (folder / "tea.txt").unlink()
    assert run("stores", "add", "drinks", folder, "--sync") == 0
    assert "1 unchanged, 1 removed" in capsys.readouterr().err
    run("stores", "show", "drinks")
    shown = capsys.readouterr().out
    assert "coffee.md" in shown and "tea.txt" not in shown


def test_failed_files_are_told_and_the_others_are_there(
    run: Run, folder: Path, capsys: Capture
) -> None:
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 and no more")
    assert run("stores", "create", "drinks", folder) == 1
    told = capsys.readouterr().err
    assert "broken.pdf: " in told and "2 added, 1 failed" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("stores", "create", "drinks", "/nowhere/at all"), "no file or folder /nowhere/at all"),
        (("stores", "search", "absent", "What?"), "There is no store 'absent'"),
        (("stores", "add", "absent", "."), "There is no store 'absent'"),
        (("chat", "--docs", "/nowhere"), "There is no folder /nowhere"),
        (("chat", "--docs", "EMPTY"), "There are no files in "),
    ],
    ids=str,
)
def test_mistakes_are_told(
    run: Run, arguments: tuple[str, ...], told: str, capsys: Capture, pipe: Run, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    if arguments[0] == "chat":
        place = arguments[2].replace("EMPTY", str(tmp_path / "empty"))
        assert pipe("What?", "--docs", place) == 2
    else:
        assert run(*arguments) == 2
    assert told in capsys.readouterr().err


def test_two_stores_of_a_name_need_an_id(run: Run, capsys: Capture) -> None:
    from localassist.client.client import LocalAssist
    from localassist.settings import load_settings

    with LocalAssist(settings=load_settings()) as client:
        ids = [client.vector_stores.create(name="twin").id for _ in range(2)]
    assert run("stores", "show", "twin") == 2
    assert all(store_id in capsys.readouterr().err.replace("\n", " ") for store_id in ids[:1])
    assert run("stores", "create", "twin") == 2
    assert run("stores", "rm", *ids) == 0


def test_a_chat_answers_from_a_folder(
    engine: ScriptedEngine, pipe: Run, folder: Path, capsys: Capture
) -> None:
    assert pipe("How hot is the water for green tea?", "--docs", str(folder)) == 0
    said = capsys.readouterr()
    assert "docs: 2 added." in said.err
    assert pipe("How hot is coffee?", "--docs", str(folder)) == 0
    assert "docs: 2 unchanged." in capsys.readouterr().err


def test_a_quotation_that_the_answer_has_is_not_shown_twice(
    engine: ScriptedEngine, pipe: Run, folder: Path, capsys: Capture
) -> None:
    assert pipe("How hot is the water for green tea?", "--docs", str(folder)) == 0
    said = capsys.readouterr()
    assert "“Green tea wants water of eighty degrees.” [1]" in said.out
    assert "[1] tea.txt" in said.err and "eighty" not in said.err
