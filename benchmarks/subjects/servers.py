"""Servers under measurement, each a process of its own on a free port: ours and those of others.

``open_servers`` starts what is installed here and says what is not.
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import common

OURS = "localassist"
PACKAGED = "llama-cpp-python"
LLAMA_SERVER = "llama-server"
PEER_PYTHON = "LOCALASSIST_BENCH_PEER_PYTHON"
_PACKAGED_NEEDS = ("fastapi", "sse_starlette", "starlette_context", "pydantic_settings")


@dataclass(frozen=True, slots=True)
class Server:
    """A server process. ``base_url`` ends in ``/v1``."""

    base_url: str
    pid: int


class ServerDied(Exception):
    """The server ended before it answered, or never answered."""


class NotInstalled(Exception):
    """A peer is not here; the message says what would bring it."""


def open_servers(
    stack: ExitStack,
    model: common.Model,
    folder: Path,
    *,
    peers: bool,
    sequences: int = 8,
) -> dict[str, Server]:
    """Ours first, then every peer that is installed, each with room for ``sequences`` at once."""
    settings = {"max_sequences": sequences}
    servers = {OURS: stack.enter_context(our_server(model, folder / "ours", settings))}
    if not peers:
        return servers
    others = {
        LLAMA_SERVER: llama_server(model, sequences),
        PACKAGED: packaged_server(model, folder / "packaged"),
    }
    for name, peer in others.items():
        try:
            servers[name] = stack.enter_context(peer)
        except NotInstalled as missing:
            print(f"without {name}: {missing}")
    return servers


@contextmanager
def our_server(
    model: common.Model, home: Path, settings: Mapping[str, Any] | None = None
) -> Iterator[Server]:
    """``localassist serve`` with its defaults but for ``settings`` of ``[engine]``."""
    command = [sys.executable, "-m", "localassist", "--home", str(home), "serve", "--port"]
    chosen = {**model.measured, **(settings or {})}
    variables = {f"LOCALASSIST_ENGINE__{k.upper()}": str(v) for k, v in chosen.items()}
    with _on_a_port(command, home, variables) as server:
        yield server


@contextmanager
def scripted_server(home: Path) -> Iterator[Server]:
    """The same with a model that is scripted."""
    command = [sys.executable, "-m", "benchmarks.subjects.scripted", str(home), "--port"]
    with _on_a_port(command, home, {}) as server:
        yield server


@contextmanager
def packaged_server(model: common.Model, home: Path) -> Iterator[Server]:
    """llama-cpp-python's packaged server as it comes (half of the cores decode, which suits it
    best), except that a second request waits for the first instead of cutting it off."""
    missing = [name for name in _PACKAGED_NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        packages = " ".join(name.replace("_", "-") for name in missing)
        raise NotInstalled(f"pip install {packages}")
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(model.path)]
    command += ["--n_ctx", "8192", "--interrupt_requests", "false", "--port"]
    with _on_a_port(command, home, {}) as server:
        yield server


@contextmanager
def llama_server(model: common.Model, slots: int, context: int = 8192) -> Iterator[Server]:
    """llama.cpp's own server through xllamacpp, as many threads as cores."""
    python = os.environ.get(PEER_PYTHON)
    if python is None and importlib.util.find_spec("xllamacpp") is None:
        raise NotInstalled(f"pip install xllamacpp, here or for the Python named by {PEER_PYTHON}")
    script = common.ROOT / "benchmarks" / "peers" / "llama_server.py"
    wanted = {"slots": slots, "context": context, "threads": common.cores()}
    details = json.dumps({"model": str(model.path), **wanted})
    process = subprocess.Popen(
        [python or sys.executable, str(script), details],
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH" or python is None},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise ServerDied(f"llama-server: exit code {process.wait()}")
        url = json.loads(line)["url"]
        yield Server(f"{url}/v1", process.pid)
    finally:
        process.stdin.close()
        _end(process)
        process.stdout.close()


@contextmanager
def _on_a_port(command: list[str], home: Path, settings: dict[str, str]) -> Iterator[Server]:
    port = _free_port()
    home.mkdir(parents=True, exist_ok=True)
    log = home / "server.log"
    base_url = f"http://127.0.0.1:{port}/v1"
    kept = {k: v for k, v in os.environ.items() if not k.startswith("LOCALASSIST_")}
    paths = [str(common.ROOT), *filter(None, [kept.get("PYTHONPATH")])]
    variables = {**kept, "PYTHONPATH": os.pathsep.join(paths), **settings}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*command, str(port)], cwd=home, env=variables, stdout=output, stderr=output
        )
        try:
            _await_answer(process, base_url, log)
            yield Server(base_url, process.pid)
        finally:
            process.terminate()
            _end(process)


def _end(process: subprocess.Popen[Any]) -> None:
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _await_answer(process: subprocess.Popen[Any], base_url: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{base_url}/models", timeout=5).close()
            return
        except urllib.error.URLError:
            time.sleep(0.1)
    raise ServerDied(f"the server does not answer: {log.read_text('utf-8', 'replace')[-2000:]}")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
