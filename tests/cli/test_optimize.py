"""``localassist models optimize``: what it refuses, what it leaves behind. Copies are made up."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from localassist.cli import optimize as command
from localassist.cli.main import main
from localassist.engine import EngineSettings, copies, machine
from localassist.engine.copies import Comparison, Speed
from localassist.errors import ModelLoadFailed
from localassist.registry import Catalog
from localassist.registry.manifest import SamplingDefaults, to_toml
from tests.registry.gguf_files import gguf

Run = Callable[..., tuple[int, str, str]]

SLOW = Speed(100.0, 50.0, 80.0)
FAST = Speed(200.0, 60.0, 90.0)
GAINS = {"q8_0": (FAST, 0.005), "q4_0": (Speed(300.0, 90.0, 190.0), 0.3), "q5_0": (SLOW, 0.005)}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        argv = ["localassist", "--home", str(home), "models", "optimize", *arguments]
        monkeypatch.setattr(sys, "argv", argv)
        monkeypatch.setenv("COLUMNS", "160")
        with pytest.raises(SystemExit) as caught:
            main()
        code = caught.value.code
        out, err = capsys.readouterr()
        return (0 if code is None else int(code)), out, err

    return call


@pytest.fixture
def mine(home: Path, tmp_path: Path) -> Catalog:
    """A catalog with the model ``mine``, which has a template, sampling and an alias."""
    path = tmp_path / "mine.gguf"
    path.write_bytes(gguf(general__file_type=3))
    catalog = Catalog(home)
    changes = {
        "aliases": ("mine-*",),
        "chat_template": "{{ messages }}",
        "sampling": SamplingDefaults(temperature=0.5),
        "tool_mode": "native",
    }
    manifest = catalog.add(path).model_copy(update=changes)
    (home / "models" / "mine.toml").write_text(to_toml(manifest))
    return catalog


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Copies are the original with some bytes more; the list is of the types that were made."""
    types: list[str] = []

    def make_copy(source: Path, target: Path, file_type: str) -> None:
        types.append(file_type)
        if file_type == "f16":
            raise ModelLoadFailed("llama.cpp cannot write it.")
        target.write_bytes(source.read_bytes() + b"\0" * 32)

    def compare(original: Path, copy: Path, settings: EngineSettings, folder: Path) -> Comparison:
        assert original.exists() and copy.exists()
        speed, divergence = GAINS[copy.stem.rpartition("-")[2]]
        return Comparison(SLOW, speed, 0.96, divergence, 10.0, 10.1)

    monkeypatch.setattr(copies, "make_copy", make_copy)
    monkeypatch.setattr(copies, "compare", compare)
    return types


def left(home: Path) -> list[str]:
    """Weights and folders in the models folder, besides what is registered."""
    known = {"mine.toml", "verified.json", "mine-q8_0.toml", "files"}
    return sorted(path.name for path in (home / "models").iterdir() if path.name not in known)


def test_the_best_copy_is_registered_like_its_original(
    run: Run, home: Path, mine: Catalog, made: list[str]
) -> None:
    code, out, err = run("mine", "--yes")
    assert (code, err, made) == (0, "", ["q8_0", "q4_0"])
    assert "×2.00" in out and "×3.00" in out
    copy, original = mine.get("mine-q8_0"), mine.get("mine")
    assert mine.locate(copy) == home / "models" / "files" / "mine-q8_0.gguf"
    same = ("kind", "chat_template", "sampling", "tool_mode", "licence", "context_length")
    assert all(getattr(copy, name) == getattr(original, name) for name in same)
    assert copy.aliases == () and "mine re-quantized to Q8_0" in copy.description
    found = mine.find("mine-x")
    assert found is not None and found.id == "mine"
    assert left(home) == []
    mine.remove("mine-q8_0")
    assert not list((home / "models" / "files").iterdir())


def test_once_more_replaces_the_copy(run: Run, home: Path, mine: Catalog) -> None:
    assert run("mine", "--yes")[0] == run("mine", "--yes")[0] == 0
    assert mine.locate(mine.get("mine-q8_0")).exists()


def test_nothing_is_registered_unasked(run: Run, home: Path, mine: Catalog) -> None:
    code, out, _ = run("mine")
    assert code == 0 and "--yes" in out
    assert [model.id for model in mine.list() if model.id.startswith("mine")] == ["mine"]
    assert left(home) == []


@pytest.mark.parametrize(("answer", "count"), [("y\n", 2), ("n\n", 1)])
def test_a_person_is_asked(
    run: Run, mine: Catalog, monkeypatch: pytest.MonkeyPatch, answer: str, count: int
) -> None:
    monkeypatch.setattr(command, "is_interactive", lambda: True)
    monkeypatch.setattr(command.typer, "confirm", lambda question: answer == "y\n")
    assert run("mine")[0] == 0
    assert len([model for model in mine.list() if model.id.startswith("mine")]) == count


def test_what_does_not_pay_is_not_offered(run: Run, home: Path, mine: Catalog) -> None:
    code, out, _ = run("mine", "--yes", "--types", "q4_0, Q5_0,q4_0")
    assert code == 0 and "mine stays as it is" in out
    assert left(home) == []


def test_copies_can_be_kept(run: Run, home: Path, mine: Catalog) -> None:
    assert run("mine", "--yes", "--keep")[0] == 0
    assert left(home) == ["optimized"]
    kept = home / "models" / "optimized"
    assert [path.name for path in kept.iterdir()] == ["mine-q4_0.gguf"]


def test_a_type_that_fails_does_not_end_the_others(run: Run, home: Path, mine: Catalog) -> None:
    code, _, err = run("mine", "--yes", "--types", "f16,q8_0")
    assert code == 0 and "cannot write" in err
    assert mine.get("mine-q8_0")
    code, out, _ = run("mine", "--types", "f16")
    assert (code, out, left(home)) == (1, "", [])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("absent",), "`absent` does not exist"),
        (("all-minilm-l6-v2",), "of kind embedding"),
        (("mine", "--types", "q9"), "`q9` is not an element type"),
        (("mine", "--types", " , "), "names nothing"),
        (("mine", "--types", "q4_1"), "names nothing"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    run: Run, mine: Catalog, made: list[str], arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = run(*arguments)
    assert (code, out, made) == (2, "", [])
    assert said in err and err.count("\n") == 1


def test_a_taken_name_is_noticed_before_the_work(
    run: Run, home: Path, tmp_path: Path, mine: Catalog, made: list[str]
) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(gguf())
    mine.add(other, model_id="mine-q4_0")
    code, _, err = run("mine", "--yes")
    assert (code, made) == (2, []) and "`mine-q4_0` exists already" in err


def test_too_little_memory_or_disk(
    run: Run, mine: Catalog, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(machine, "free_memory_bytes", lambda: 2**20)
        code, _, err = run("mine")
        assert (code, made) == (2, []) and "too large" in err
    usage: Any = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10))
    code, _, err = run("mine")
    assert (code, made) == (2, []) and "are free in" in err


def test_a_folder_that_cannot_be_written(
    run: Run, home: Path, mine: Catalog, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(command.tempfile, "mkdtemp", refuse)
    code, _, err = run("mine")
    assert (code, made) == (1, []) and "cannot be written: Permission denied" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_leaves_nothing(
    run: Run,
    home: Path,
    mine: Catalog,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
) -> None:
    def interrupted(original: Path, copy: Path, *_: object) -> Comparison:
        assert len(left(home)) == 1
        os.kill(os.getpid(), number)
        raise AssertionError("a signal ends this")

    monkeypatch.setattr(copies, "compare", interrupted)
    assert run("mine", "--yes", "--keep")[0] != 0
    assert left(home) == []


def test_what_a_killed_process_left_is_removed(run: Run, home: Path, mine: Catalog) -> None:
    gone, alive = home / "models" / ".optimize-999999999-x", home / "models" / ".optimize-1-x"
    for folder in (gone, alive):
        folder.mkdir()
        (folder / "copy.gguf").write_bytes(b"")
    assert run("mine")[0] == 0
    assert left(home) == [alive.name]
