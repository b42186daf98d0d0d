"""Nothing leaves the machine: all uses without a way out, and all uses with every call watched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.egress.alone import NOT_ALLOWED
from tests.egress.trace import CALLS, departures

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
USES = {
    "in this process": ["chat", "embeddings", "search", "code", "functions"],
    "a server": ["chat", "embeddings", "search", "code", "functions"],
    "the command line": ["chat in a pipe", "code", "doctor"],
}
# Tries to get out in each way there is, and says what came of it.
ESCAPES = """
import socket
for reach in (
    lambda: socket.create_connection(("192.0.2.1", 80), 2),
    lambda: socket.create_connection(("2001:db8::1", 80), 2),
    lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 9)),
    lambda: socket.getaddrinfo("localassist.example", 80),
):
    try:
        reach()
        print("out")
    except OSError:
        print("refused")
"""


def real(test: Any) -> Any:
    """Embedded models and kernels; slow where other programs want the processor too."""
    return pytest.mark.model(pytest.mark.sandbox(pytest.mark.timeout(600)(test)))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One data folder for all: the embedding model is converted once, by whoever comes first."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def unguarded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """On PYTHONPATH, a folder by which no process refuses to reach out: what is refused is not
    tried, and would not be seen."""
    folder = tmp_path_factory.mktemp("unguarded")
    (folder / "sitecustomize.py").write_text(
        "from localassist import offline\noffline.seal = offline.switch_off\n"
    )
    return folder


def environment(*folders: Path) -> dict[str, str]:
    """What a user has, but for what would take long; not what the tests set up for themselves."""
    environ = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")}
    if folder := os.environ.get("LOCALASSIST_SANDBOX__ENVIRONMENT"):
        environ["LOCALASSIST_SANDBOX__ENVIRONMENT"] = folder
    environ |= {"LOCALASSIST_ENGINE__TUNING_SECONDS": "0", "OMP_WAIT_POLICY": "passive"}
    return environ | {"PYTHONPATH": os.pathsep.join(map(str, (*folders, ROOT)))}


def traced(trace: Path) -> list[str]:
    """The beginning of a command whose calls about sockets are written to ``trace``. It gets no
    rings: uvloop would make one, and what goes through a ring is not seen."""
    strace = shutil.which("strace")
    if strace is None:
        lack("strace is not installed")
    if run(strace, "-qq", "-o", os.devnull, "true").returncode != 0:
        lack("strace may watch no program here")
    calls = ",".join(CALLS)
    options = ["-e", f"trace={calls}", "-e", "inject=io_uring_setup:error=ENOSYS"]
    return [strace, "-f", "-qq", "--seccomp-bpf", *options, "-o", str(trace)]


def alone(*command: str) -> str:
    """What a command prints that has no network but loopback; it must end well."""
    done = run(sys.executable, str(HERE / "alone.py"), *command)
    if done.returncode == NOT_ALLOWED:
        lack("no network namespace can be made here")
    assert done.returncode == 0, done.stderr
    return done.stdout


def run(*command: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    environ = environment() if environ is None else environ
    return subprocess.run(command, capture_output=True, text=True, env=environ, cwd=ROOT)


def lack(reason: str) -> NoReturn:
    """Skip, unless REQUIRE_SANDBOX says that nothing may be skipped for want of a tool."""
    if os.environ.get("REQUIRE_SANDBOX", "0") not in ("", "0"):
        pytest.fail(f"REQUIRE_SANDBOX is set, and {reason}", pytrace=False)
    pytest.skip(reason)


def used(printed: str) -> dict[str, list[str]]:
    """Which uses came to their end, by place."""
    found: dict[str, list[str]] = {}
    for line in printed.splitlines():
        said = json.loads(line)
        found.setdefault(said["place"], []).append(said["use"])
    return found


@real
def test_all_of_it_works_without_a_way_out(home: Path) -> None:
    assert used(alone(sys.executable, str(HERE / "uses.py"), str(home))) == USES


@real
def test_none_of_it_reaches_for_another_machine(
    home: Path, unguarded: Path, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    command = [*traced(trace), sys.executable, str(HERE / "uses.py"), str(home)]
    done = run(*command, environ=environment(unguarded))
    assert done.returncode == 0, done.stderr
    assert used(done.stdout) == USES
    calls = trace.read_text("utf-8", "replace")
    assert "AF_INET, " in calls, "the server on loopback should be seen"
    assert departures(calls) == []


def test_what_reaches_out_is_caught_twice(tmp_path: Path) -> None:
    """By the network that is not there, and by the trace."""
    trace = tmp_path / "trace"
    printed = alone(*traced(trace), sys.executable, "-c", ESCAPES)
    assert printed.split() == ["refused"] * 4
    found = departures(trace.read_text())
    for call in ("connect", "sendto"):
        assert any(f" {call}(" in line and "192.0.2.1" in line for line in found), call
    assert any("2001:db8::1" in line for line in found)
    assert any("htons(53)" in line or "sun_path" in line for line in found), "a name was asked for"
