"""``install.sh``, with real virtual environments: what it makes, refuses, keeps and leaves."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localassist.bundle.install.data import DATABASE
from localassist.bundle.targets import Target
from localassist.storage.revisions import newest_revision
from tests.bundle.test_verify import key_pair
from tests.bundle.tiny import Tiny, command, install, unpack


@pytest.fixture(scope="module")
def installed(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prefix with the tiny bundle in it. Not to be changed."""
    prefix = tmp_path_factory.mktemp("installed") / "it is here"
    done = install(unpacked, prefix)
    assert done.returncode == 0, done.stdout + done.stderr
    return prefix


def versions(prefix: Path) -> list[str]:
    return sorted(os.listdir(prefix / "versions"))


def ask(prefix: Path, *arguments: str, **environ: str) -> str:
    """What the installed program says, without the environment of the tests."""
    program = [str(prefix / "bin" / "localassist"), *arguments]
    environ = {"PATH": os.environ["PATH"], **environ}
    return subprocess.run(program, env=environ, capture_output=True, text=True, check=True).stdout


def test_what_is_installed_runs(installed: Path, unpacked: Path) -> None:
    (version,) = versions(installed)
    assert os.readlink(installed / "current") == f"versions/{version}"
    said = ask(installed, "chat", "a b", LOCALASSIST_HOME="/elsewhere")
    assert said == "asked: chat a b home: /elsewhere\n"
    kernel = installed / "current" / "share" / "localassist" / "kernel" / "built-from"
    assert kernel.read_text() == str(unpacked / "kernel")


def test_it_ends_with_the_doctor_and_says_how_to_start(
    unpacked: Path, installed: Path, tmp_path: Path
) -> None:
    prefix = tmp_path / "again"
    shutil.copytree(installed, prefix, symlinks=True)
    done = install(unpacked, prefix, "--home", str(tmp_path / "data"))
    assert done.returncode == 0
    assert "is installed already" in done.stdout
    assert done.stdout.endswith(f"asked: doctor home: {tmp_path / 'data'}\n")
    assert f'export PATH="{prefix}/bin:$PATH"' in done.stdout
    assert "\x1b" not in done.stdout and "\r" not in done.stdout
    # The data folder is remembered by the program, and by the next installation.
    said = ask(prefix, "x")
    assert said == f"asked: x home: {tmp_path / 'data'}\n"
    assert install(unpacked, prefix, environ={"TINY_DOCTOR_FAILS": "1"}).returncode == 0


@pytest.mark.parametrize(
    "name",
    ["install.py", "manifest.json", "wheels/tiny-1.0-py3-none-any.whl", "licences/tiny-1.0.txt"],
)
def test_a_bundle_that_was_tampered_with_is_refused(
    folder: Path, tmp_path: Path, name: str
) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(
        content.replace(b"e", b"i", 1) if b"e" in content else content + b"x"
    )
    done = install(folder, tmp_path / "prefix")
    assert done.returncode == 1
    assert name in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "prefix").exists()


def test_a_damaged_wheel_of_the_installer_itself_is_refused(folder: Path, tmp_path: Path) -> None:
    (wheel,) = (folder / "wheels").glob("localassist-*.whl")
    wheel.write_bytes(wheel.read_bytes()[:-5])
    done = install(folder, tmp_path / "prefix")
    assert done.returncode == 1 and wheel.name in done.stderr and "Traceback" not in done.stderr
    wheel.unlink()
    done = install(folder, tmp_path / "prefix")
    assert done.returncode == 1 and wheel.name in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["manifest.json", "install.py", "SHA256SUMS"])
def test_an_incomplete_bundle_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).unlink()
    done = install(folder, tmp_path / "prefix")
    assert done.returncode == 1 and name in done.stderr and "Traceback" not in done.stderr


def test_a_bundle_for_another_platform_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    other = Target("linux_aarch64", ".".join(map(str, sys.version_info[:2])))
    tiny.create(tmp_path / "arm.tar", targets=(other,), with_kernel=False)
    done = install(unpack(tmp_path / "arm.tar", tmp_path / "arm"), tmp_path / "prefix")
    assert done.returncode == 1
    assert "is for linux_aarch64; this machine is linux_x86_64" in done.stderr


def test_a_python_of_another_version_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    tiny.create(tmp_path / "new.tar", targets=(Target("linux_x86_64", "3.99"),), with_kernel=False)
    done = install(unpack(tmp_path / "new.tar", tmp_path / "new"), tmp_path / "prefix")
    assert done.returncode == 1
    assert f"needs Python 3.99 with its venv module; {sys.executable} is not that" in done.stderr


def test_a_signed_bundle_asks_whose_signature_is_accepted(tiny: Tiny, tmp_path: Path) -> None:
    key, public = key_pair(tmp_path, "ours")
    signers = tmp_path / "signers"
    signers.write_text(f"ops@example.org {public}")
    tiny.create(tmp_path / "b.tar", key=key, with_kernel=False)
    folder = unpack(tmp_path / "b.tar", tmp_path / "b")
    done = install(folder, tmp_path / "prefix")
    assert done.returncode == 1 and "--signers FILE" in done.stderr
    assert not (tmp_path / "prefix").exists()
    done = install(folder, tmp_path / "prefix", "--signers", str(signers))
    assert done.returncode == 0 and "signed by ops@example.org" in done.stdout
    done = install(folder, tmp_path / "prefix", "--unsigned")
    assert done.returncode == 0 and "signed by" not in done.stdout
    done = install(folder, tmp_path / "prefix", "--unsigned", "--signers", str(signers))
    assert done.returncode == 2


def test_an_unknown_option_is_a_usage_error(unpacked: Path, tmp_path: Path) -> None:
    done = install(unpacked, tmp_path / "prefix", "--prefx", "x")
    assert done.returncode == 2 and "--prefx" in done.stderr
    assert (
        subprocess.run([unpacked / "install.sh", "--python"], capture_output=True).returncode == 2
    )


def test_nothing_leads_to_an_interrupted_installation(unpacked: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    for number in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM):
        with started(unpacked, prefix) as process:
            wait_for_work(process)
            process.send_signal(number)
            process.wait()
            said = process.stderr.read() if process.stderr else ""
        assert process.returncode == (-9 if number == signal.SIGKILL else 130)
        assert ("Interrupted" in said) == (number != signal.SIGKILL) and "Traceback" not in said
        assert not (prefix / "current").is_symlink() and not (prefix / "bin").exists()
        assert number == signal.SIGKILL or versions(prefix) == []
    (prefix / "versions" / "left").mkdir()
    done = install(unpacked, prefix)
    assert done.returncode == 0 and "removing left, which an interrupted" in done.stdout
    assert len(versions(prefix)) == 1


def test_two_installations_do_not_mix(unpacked: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    with started(unpacked, prefix) as process:
        wait_for_work(process)
        done = install(unpacked, prefix)
        assert done.returncode == 1 and "Another installation" in done.stderr
        process.terminate()


@contextlib.contextmanager
def started(bundle: Path, prefix: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command(bundle, prefix), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        yield process


def wait_for_work(process: subprocess.Popen[str]) -> None:
    """Until something is being installed."""
    assert process.stdout is not None
    assert any("installing" in line for line in process.stdout)


@pytest.mark.slow
def test_an_upgrade_keeps_the_data_and_the_version_before(
    tiny: Tiny, unpacked: Path, installed: Path, tmp_path: Path
) -> None:
    prefix, home = tmp_path / "prefix", tmp_path / "data"
    assert install(unpacked, prefix, "--home", str(home)).returncode == 0
    (first,) = versions(prefix)
    make_database(home / DATABASE, "0001")
    note = tmp_path / "note.txt"
    for text in ("second", "third"):
        note.write_text(text)
        tiny.create(tmp_path / f"{text}.tar", extra=(note,), with_kernel=False)
        done = install(unpack(tmp_path / f"{text}.tar", tmp_path / text), prefix)
        assert done.returncode == 0, done.stderr
        assert len(versions(prefix)) == 2
        if text == "second":
            assert first in versions(prefix)
            assert f"going back: ln -sfn versions/{first} {prefix}/current" in done.stdout
    assert first not in versions(prefix)
    copies = sorted((home / "backups").iterdir())
    assert len(copies) == 2 and all(rows(copy) == ["kept"] for copy in copies)
    assert rows(home / DATABASE) == ["kept"]


def test_a_database_that_will_not_change_is_not_copied(
    unpacked: Path, installed: Path, tmp_path: Path
) -> None:
    prefix = tmp_path / "prefix"
    shutil.copytree(installed, prefix, symlinks=True)
    make_database(tmp_path / "data" / DATABASE, newest_revision())
    assert install(unpacked, prefix, "--home", str(tmp_path / "data")).returncode == 0
    assert not (tmp_path / "data" / "backups").exists()


def make_database(path: Path, schema: str) -> None:
    path.parent.mkdir(exist_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("create table alembic_version (version_num text)")
        database.execute("insert into alembic_version values (?)", (schema,))
        database.execute("create table things (name text)")
        database.execute("insert into things values ('kept')")
        database.commit()


def rows(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as database:
        return [name for (name,) in database.execute("select name from things")]


@pytest.mark.slow
def test_a_version_whose_python_is_gone_is_installed_anew(
    unpacked: Path, installed: Path, tmp_path: Path
) -> None:
    prefix = tmp_path / "prefix"
    shutil.copytree(installed, prefix, symlinks=True)
    program = prefix / "current" / "bin" / "localassist"
    program.write_text("#!/gone/python\n")
    done = install(unpacked, prefix, "--no-kernel")
    assert done.returncode == 0 and "is installed already" not in done.stdout
    assert "gone" not in program.read_text()


needs_mount = pytest.mark.skipif(
    os.geteuid() != 0
    or subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0,
    reason="needs root, to mount a small disk",
)


@needs_mount
@pytest.mark.parametrize(
    ("options", "said"),
    [("size=64m", "are free"), ("size=2g,nr_inodes=120", "The disk is full")],
    ids=["seen-before", "met-on-the-way"],
)
def test_a_full_disk_leaves_nothing(
    unpacked: Path, tmp_path: Path, options: str, said: str
) -> None:
    """On a disk of its own, which goes away with the namespace."""
    disk = tmp_path / "disk"
    disk.mkdir()
    script = (
        'mount -t tmpfs -o "$1" none "$2"; shift 2; "$@"; code=$?; ls "$P/versions"; exit $code'
    )
    prefix = disk / "prefix"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", options, disk, *command(unpacked, prefix)],
        env={**os.environ, "P": str(prefix)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr
    assert not any(line.startswith("0.") for line in done.stdout.splitlines())


def test_what_was_left_out_comes_with_another_call(unpacked: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    assert install(unpacked, prefix, "--no-kernel").returncode == 0
    kernel = prefix / "current" / "share" / "localassist" / "kernel"
    assert not kernel.exists()
    done = install(unpacked, prefix)
    assert done.returncode == 0 and "is installed already" in done.stdout
    assert (kernel / "built-from").read_text() == str(unpacked / "kernel")
