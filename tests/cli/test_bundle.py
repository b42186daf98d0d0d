"""``localassist bundle``: what it asks, says and refuses."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from localassist.bundle import create as creating
from localassist.bundle import own_wheel
from localassist.cli.main import app
from tests.bundle.conftest import bundle, tiny
from tests.bundle.tiny import Tiny

__all__ = ["bundle", "tiny"]


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        app(["bundle", *map(str, arguments)])
    return int(caught.value.code or 0)


@pytest.fixture
def made(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options with which bundles are made of the tiny packages."""
    monkeypatch.setattr(own_wheel, "make_own_wheel", lambda folder: tiny.own)
    return ["--wheels", str(tiny.wheels), "--torch-index", ""]


def test_a_bundle_is_made_and_checked(
    made: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "b.tar"
    assert run("create", "--out", out, "--yes", *made) == 0
    said = capsys.readouterr()
    for line in ("packages", "code interpreter", "in all", "free disk", "as it was made"):
        assert line in said.out
    assert "not signed" in said.out and "./install.sh" in said.out
    assert hashlib.sha256(out.read_bytes()).hexdigest() in "".join(said.out.split())
    assert "\x1b" not in said.out + said.err
    assert run("verify", out) == 0
    assert "for linux_x86_64, Python 3." in capsys.readouterr().out


def test_nothing_is_packed_without_a_yes(
    made: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "b.tar"
    assert run("create", "--out", out, "--no-kernel", *made) == 2
    assert "--yes" in capsys.readouterr().err and not out.exists()


def test_an_interruption_says_how_to_go_on(
    made: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(creating, "verify", interrupt)
    out = tmp_path / "b.tar"
    assert run("create", "--out", out, "--no-kernel", "--yes", *made) == 130
    said = " ".join(capsys.readouterr().err.split())
    assert "Stopped" in said and "b.tar.part" in said and not out.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--cpu", "fast"], "--cpu fast is not one of native, x86-64-v2"),
        (["--platform", "linux_aarch64", "--cpu", "x86-64-v3"], "is not one of native, armv8-a"),
        (["--platform", "win_amd64"], "--platform win_amd64 is not one of"),
        (["--python", "3"], "--python 3 is not a version such as 3.11"),
        (["--glibc", "new"], "--glibc new is not"),
        (["--wheels", "/nowhere"], "--wheels /nowhere is not a folder"),
        (["--include", "/nowhere"], "--include /nowhere is not a file"),
        (["--sign", "/nowhere"], "--sign /nowhere is not a file"),
        (["--out", "/nowhere/b.tar"], "/nowhere is not a folder"),
        (["--models", "nobody"], "nobody"),
    ],
)
def test_what_cannot_be_is_refused_at_once(
    tmp_path: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from localassist.errors import LocalAssistError

    out = [] if "--out" in options else ["--out", str(tmp_path / "b.tar")]
    try:
        code, message = run("create", *out, *options), capsys.readouterr().err
    except LocalAssistError as error:  # what the entry point reports
        code, message = 2, error.message
    assert code == 2 and said in " ".join(message.split())


def test_a_bundle_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "b.tar").write_text("precious")
    assert run("create", "--out", tmp_path / "b.tar") == 2
    assert "is there already" in " ".join(capsys.readouterr().err.split())


def test_a_damaged_bundle_is_named_and_fails(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copy(bundle, tmp_path / "copy.tar"))
    with copy.open("r+b") as file:
        file.truncate(bundle.stat().st_size // 2)
    assert run("verify", copy) == 1
    assert "is cut short" in " ".join(capsys.readouterr().err.split())
    assert run("verify", tmp_path / "none.tar") == 2
    assert run("verify", Path(__file__)) == 1
    assert "is not a bundle" in " ".join(capsys.readouterr().err.split())
