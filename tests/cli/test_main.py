from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

ROOT = Path(__file__).parents[2]


def localassist(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "localassist", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def test_version_and_help() -> None:
    assert localassist("--version").stdout.startswith("localassist 0.")
    assert all(word in localassist("--help").stdout for word in ("serve", "chat", "models"))


def test_a_bad_setting_is_one_line_and_code_2() -> None:
    done = localassist("models", "list", LOCALASSIST_SERVER__PORT="many")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("localassist: Setting 'server.port'")
    assert done.stderr.count("\n") == 1


def test_a_standard_input_that_is_closed_is_empty() -> None:
    command = ["sh", "-c", 'exec "$0" -m localassist ask <&-', sys.executable]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("localassist: There is no question")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk here")
def test_what_cannot_be_written_is_one_line() -> None:
    command = [sys.executable, "-m", "localassist", "models", "list"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "localassist: No space left on device.\n")


@pytest.mark.parametrize(
    ("options", "error", "is_line"),
    [
        ([], "PermissionError(13, 'No', 'a.txt')", True),
        (["-X", "dev"], "PermissionError(13, 'No', 'a.txt')", False),
        ([], "TimeoutError()", False),
    ],
)
def test_only_what_the_system_refuses_has_no_traceback(
    options: list[str], error: str, is_line: bool
) -> None:
    code = (
        "from localassist.cli import docs, main\n"
        f"def refuse(): raise {error}\n"
        "docs.docs = refuse\n"
        "main.main()"
    )
    command = [sys.executable, *options, "-c", code, "docs"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert (done.stderr == "localassist: a.txt: No\n") == is_line
    assert ("in refuse" in done.stderr) != is_line


def test_serve_refuses_the_network_without_a_key() -> None:
    done = localassist("serve", "--host", "0.0.0.0", "--port", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no API key" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_says_where_answers_and_ends_cleanly(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "localassist", "serve", "--port", "0"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as server:  # type: ignore[call-overload]
        lines = [server.stdout.readline() for _ in range(3)]
        url = lines[0].split()[-1]
        assert f"OPENAI_BASE_URL={url}" in lines[2]
        assert httpx2.get(f"{url}/models").json()["object"] == "list"
        server.send_signal(number)
        _, err = server.communicate(timeout=30)
    assert server.returncode == 0
    said = [line.split(" ", 3)[-1] for line in err.splitlines()]
    assert all(line.startswith(("Loading ", "Loaded ")) for line in said)


def test_serve_reports_a_port_in_use() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        done = localassist("serve", "--port", str(other.getsockname()[1]))
    assert done.returncode == 2
    assert "Cannot listen on 127.0.0.1:" in done.stderr


def test_what_may_be_better_next_time_is_told_from_wrong_settings(
    tmp_path: Path,
) -> None:
    """The service manager tries only the former again."""
    serve = ("--home", str(tmp_path), "serve", "--port", "0")
    with closing(sqlite3.connect(tmp_path / "localassist.db", isolation_level=None)) as another:
        another.execute("BEGIN EXCLUSIVE")
        done = localassist(*serve, LOCALASSIST_STORAGE__BUSY_TIMEOUT_SECONDS="0.1")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    (tmp_path / "localassist.db").write_text("no database")
    done = localassist(*serve)
    assert done.returncode == 2 and "not a database" in done.stderr


@pytest.mark.model
def test_a_question_in_a_pipe_is_answered_by_the_real_model() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "localassist", "chat", "--temperature", "0"],
        cwd=ROOT,
        input="What is the capital of France?",
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() and "\x1b" not in done.stdout


@pytest.mark.parametrize("module", ["localassist.cli.main", "localassist.settings"])
def test_an_interrupt_while_it_is_loading_is_said_without_a_traceback(module: str) -> None:
    code = (
        "import sys\n"
        "class Stop:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}: raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Stop())\n"
        "from localassist.__main__ import main\n"
        "sys.argv[1:] = ['models', 'list']\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.strip() == "localassist: Stopped."
