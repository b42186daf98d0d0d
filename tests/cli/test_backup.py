"""``localassist backup``: what it says, its exit codes, and what is there after it was stopped."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from localassist.runtime import open_keys
from localassist.settings import Settings, load_settings
from tests.cli.conftest import Say
from tests.conformance.serving import ROOT, clean_environ


async def key_names(settings: Settings, *new: str) -> list[str]:
    async with open_keys(settings) as keys:
        for name in new:
            await keys.create(name, "default")
        return [key.name for key in await keys.list()]


@pytest.fixture
def home(localassist_home: Path) -> Path:
    """A data folder with a key in its database."""
    asyncio.run(key_names(load_settings(), "ada"))
    return localassist_home


def test_a_backup_is_made_checked_and_restored(tmp_path: Path, home: Path, say: Say) -> None:
    (home / "localassist.toml").write_text("[server]\nport = 9\n")
    code, out, err = say("backup", "create", tmp_path / "b.tar")
    assert code == 0 and not err and "read back and whole" in out and "\x1b" not in out
    assert (tmp_path / "b.tar").stat().st_mode & 0o077 == 0
    code, out, _ = say("backup", "verify", tmp_path / "b.tar")
    assert code == 0 and "is whole: made " in out
    code, out, err = say("backup", "restore", tmp_path / "b.tar", "--home", tmp_path / "new")
    assert code == 0 and f"Restored {tmp_path / 'new'}." in out and not err
    assert (tmp_path / "new" / "localassist.toml").read_text() == "[server]\nport = 9\n"
    assert asyncio.run(key_names(load_settings(tmp_path / "new"))) == ["ada"]


def test_a_folder_gets_a_file_with_the_time(tmp_path: Path, home: Path, say: Say) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    assert say("backup", "create", folder, "--gzip")[0] == 0
    (made,) = folder.iterdir()
    assert made.name.startswith("localassist-") and made.name.endswith(".tar.gz")
    assert say("backup", "verify", made)[0] == 0


def test_what_is_wrong_is_one_line(tmp_path: Path, home: Path, say: Say) -> None:
    assert say("backup", "create", tmp_path / "b.tar")[0] == 0
    for arguments, word in (
        (("create", tmp_path / "b.tar"), "exists"),
        (("verify", tmp_path / "missing.tar"), "No such file"),
        (("verify", tmp_path), "is a folder"),
        (("create", home / "b.tar"), "outside of the data folder"),
        (("restore", tmp_path / "b.tar"), "not empty"),
        (("restore", tmp_path / "b.tar", "--home", tmp_path / "b.tar"), "not a folder"),
    ):
        code, _, err = say("backup", *arguments)
        assert code == 2 and word in err and err.count("\n") == 1, err
    with (tmp_path / "b.tar").open("r+b") as file:
        file.seek(5000)
        file.write(b"changed")
    code, _, err = say("backup", "restore", tmp_path / "b.tar", "--home", tmp_path / "new")
    assert code == 1 and "is damaged" in err and "Nothing was restored." in err
    assert not (tmp_path / "new").exists()


def command(*arguments: str | Path, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "localassist", *map(str, arguments)],
        cwd=ROOT,
        env=clean_environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]
    )


def test_a_disk_that_is_full_leaves_nothing(tmp_path: Path, home: Path) -> None:
    """A limit on the size of files is met as a full disk is: in the middle of a write."""
    (home / "large").mkdir()
    (home / "large" / "file").write_bytes(os.urandom(2**21))

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    done = command("--home", home, "backup", "create", tmp_path / "b.tar", preexec_fn=limit)
    _, err = done.communicate(timeout=60)
    assert done.returncode == 1 and "no room left" in err and "No backup was made" in err, err
    whole = command("--home", home, "backup", "create", tmp_path / "b.tar")
    assert whole.communicate(timeout=60) and whole.returncode == 0
    done = command(
        "backup", "restore", tmp_path / "b.tar", "--home", tmp_path / "new", preexec_fn=limit
    )
    _, err = done.communicate(timeout=60)
    assert done.returncode == 1 and "no room left" in err and "Nothing was restored" in err, err
    assert not (tmp_path / "new").exists() and not list(tmp_path.rglob(".localassist-partial-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_stopped_in_the_middle_nothing_half_done_stays(
    tmp_path: Path, home: Path, number: signal.Signals
) -> None:
    (home / "large").mkdir()
    (home / "large" / "file").write_bytes(os.urandom(2**26))
    stopped = command("--home", home, "backup", "create", tmp_path / "b.tar.gz")
    until = time.monotonic() + 60
    while not any(p.stat().st_size > 2**20 for p in tmp_path.glob(".localassist-*/backup")):
        assert time.monotonic() < until and stopped.poll() is None
        time.sleep(0.01)
    stopped.send_signal(number)
    _, err = stopped.communicate(timeout=60)
    assert not (tmp_path / "b.tar.gz").exists() and "Traceback" not in err
    if number == signal.SIGINT:
        assert stopped.returncode == 130 and "Stopped. No backup was made." in err
    again = command("--home", home, "backup", "create", tmp_path / "b.tar")
    assert again.communicate(timeout=60) and again.returncode == 0
    left = [*tmp_path.rglob(".localassist-partial-*")]
    assert not left
