"""``localassist sandbox build`` and ``exec``."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from localassist.cli.main import app
from localassist.sandbox import building
from localassist.sandbox.config import SandboxSettings

ROOT = Path(__file__).parents[2]


class StandardInput(io.TextIOWrapper):
    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        app(["sandbox", *arguments])
    return int(caught.value.code or 0)


@pytest.fixture
def execute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """Run code from standard input in a folder of the test's own; returns the exit code."""

    def execute(code: str | bytes, *arguments: str) -> int:
        data = code.encode() if isinstance(code, str) else code
        monkeypatch.setattr(sys, "stdin", StandardInput(data))
        return run("exec", "-", *arguments)

    monkeypatch.chdir(tmp_path)
    return execute


# --- build --------------------------------------------------------------------------------------


def test_a_missing_environment_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOCALASSIST_SANDBOX__ENVIRONMENT", str(tmp_path / "none"))
    assert run("build", "--check") == 1
    assert "is missing or out of date" in capsys.readouterr().err


def test_a_build_that_fails_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "precious").touch()
    monkeypatch.setenv("LOCALASSIST_SANDBOX__ENVIRONMENT", str(tmp_path))
    assert run("build") == 1
    assert "was not built by localassist" in " ".join(capsys.readouterr().err.split())


def test_stages_are_lines_for_a_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def build(settings: SandboxSettings, home: Path, *, wheels: Path, progress: object) -> None:
        for stage in ("creating it", "fetching one", "fetching two", "installing"):
            progress(stage)  # type: ignore[operator]
        raise building.SandboxUnavailable(f"from {wheels}")

    monkeypatch.setattr(building, "build_environment", build)
    monkeypatch.setenv("LOCALASSIST_SANDBOX__ENVIRONMENT", str(tmp_path / "none"))
    assert run("build", "--from", str(tmp_path)) == 1
    said = [line.partition(": ")[2] for line in capsys.readouterr().err.splitlines()]
    assert said[1:] == ["creating it", "fetching one", "installing", f"from {tmp_path}"]


def test_a_folder_of_wheels_must_be_one(tmp_path: Path) -> None:
    assert run("build", "--from", str(tmp_path / "none")) == 2


# --- exec: what is wrong before anything is started ----------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["none.py"], "none.py cannot be read: No such file"),
        (["latin.py"], "latin.py is not UTF-8"),
        (["code.py", "--with", "none.csv"], "none.csv: No such file"),
        (["code.py", "--provider", "magic"], "There is no provider 'magic'"),
        (
            ["code.py", "--seconds", "1000"],
            "at most 120, which is the setting sandbox.cell_seconds",
        ),
        (["code.py", "--seconds", "0"], "The limit 'cell_seconds'"),
        (["code.py", "--memory-mb", "1"], "The limit 'memory_mb'"),
    ],
)
def test_wrong_usage(
    arguments: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("code.py").write_text("print(1)")
    Path("latin.py").write_bytes(b"# \xe9\n")
    done = subprocess.run(
        [sys.executable, "-m", "localassist", "sandbox", "exec", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 2 and done.stdout == ""
    assert says in " ".join(done.stderr.split())


# --- exec: in a kernel ----------------------------------------------------------------------------


@pytest.mark.sandbox
def test_what_is_printed_goes_to_standard_output(execute, capsys) -> None:  # type: ignore[no-untyped-def]
    assert execute("print('é' * 3)\n6 * 7") == 0
    shown = capsys.readouterr()
    assert shown.out == "ééé\n42\n" and shown.err == ""
    assert not Path("outputs").exists()


@pytest.mark.sandbox
def test_code_that_fails_shows_why(execute, capsys) -> None:  # type: ignore[no-untyped-def]
    assert execute("print('before')\n1 / 0") == 1
    shown = capsys.readouterr().out
    assert shown.startswith("before\n") and "ZeroDivisionError: division by zero" in shown
    assert "\x1b" not in shown


@pytest.mark.sandbox
def test_files_go_in_and_come_out_and_nothing_is_overwritten(execute, capsys) -> None:  # type: ignore[no-untyped-def]
    Path("numbers.csv").write_text("a\n1\n2\n")
    Path("outputs").mkdir()
    Path("outputs/total.txt").write_text("mine")
    code = (
        "import os, pandas, matplotlib.pyplot as plt\n"
        "frame = pandas.read_csv('/mnt/data/numbers.csv')\n"
        "open('total.txt', 'w').write(str(frame.a.sum()))\n"
        "os.mkdir('deeper')\n"
        "open('deeper/er.txt', 'w').write('x')\n"
        "os.symlink('/etc/passwd', 'link.txt')\n"
        "plt.plot(frame.a)\n"
        "plt.show()\n"
    )
    assert execute(code, "--with", "numbers.csv") == 0
    found = {str(p.relative_to("outputs")): p for p in Path("outputs").rglob("*") if p.is_file()}
    assert set(found) == {"total.txt", "total (2).txt", "deeper/er.txt", "image-1.png"}
    assert found["total.txt"].read_text() == "mine"
    assert found["total (2).txt"].read_text() == "3"
    assert found["image-1.png"].read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr().err
    assert "saved outputs/image-1.png" in said and "not saved: link.txt" in said


@pytest.mark.sandbox
def test_a_limit_ends_it_with_3(execute, capsys, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert execute("while True: pass", "--seconds", "0.5", "--out", str(tmp_path / "none")) == 3
    assert "0.5" in capsys.readouterr().err


@pytest.mark.sandbox
def test_no_isolation_ends_it_with_2(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("print(1)")
    done = subprocess.run(
        [sys.executable, "-m", "localassist", "sandbox", "exec", str(tmp_path / "code.py")],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stdout) == (2, "") and "bubblewrap" in done.stderr


@pytest.mark.sandbox
def test_a_reader_that_has_had_enough_ends_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "localassist", "sandbox", "exec", "-", "--out", str(tmp_path)]
    process = subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(
            b"import time\nfor i in range(600): print(i, flush=True); time.sleep(0.1)"
        )
        process.stdin.close()
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        assert process.wait(60) == 1
        assert process.stderr.read() == b""


@pytest.mark.sandbox
def test_ctrl_c_ends_the_code_and_its_kernel(tmp_path: Path, localassist_home: Path) -> None:
    code = tmp_path / "code.py"
    code.write_text("import time\nprint('started', flush=True)\ntime.sleep(60)\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "localassist", "sandbox", "exec", str(code)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    left = list((localassist_home / "sandbox").rglob("data"))
    assert left == []
