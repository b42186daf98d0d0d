"""Servers to test against: a real llama-server in a process of its own, apps on a thread, and a
socket that answers with the very bytes it is told to."""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from localassist.engine.remote import ServerAddress
from localassist.server.config import ServerSettings
from localassist.server.serve import listen

START_SECONDS = 60
SLOT_TOKENS = 1024
KEY = "sk-secret"

# One thread: with as many as there are cores, those of a busy machine wait for each other.
_LLAMA_SERVER = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.n_parallel = sys.argv[1], int(sys.argv[2]), 1
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
params.port, params.warmup, params.api_keys = int(sys.argv[3]), False, sys.argv[4:]
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


@contextmanager
def llama_server(model: Path, *keys: str) -> Iterator[str]:
    """The URL of llama.cpp's own server with this model and one slot."""
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [str(model), str(SLOT_TOKENS), str(port), *keys]
    with subprocess.Popen(
        [sys.executable, "-c", _LLAMA_SERVER, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url.startswith("http://"), "the server did not start"
            yield url
        finally:
            process.kill()


@contextmanager
def app_on_thread(app: Any, port: int = 0) -> Iterator[str]:
    """The URL of an ASGI app that runs on a thread and a loop of its own."""
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, ws="none"))
    with listen(ServerSettings(port=port)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(START_SECONDS)


@contextmanager
def raw_server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """The URL of a socket: ``answer`` gets every connection once its request has arrived."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                _read_request(connection)
                answer(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(START_SECONDS)


def _read_request(connection: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    length = int(lengths[0].split(b":")[1]) if lengths else 0
    while len(body) < length:
        body += connection.recv(65536)


def response(status: int, body: bytes, kind: str = "application/json", *, short: int = 0) -> bytes:
    """A whole HTTP response; ``short`` leaves that many bytes of it out."""
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    data = head.encode() + b"Connection: close\r\n\r\n" + body
    return data[: len(data) - short]


def events(*values: Any) -> bytes:
    """Server-sent events with these values."""
    return b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in values)


def address(url: str, **options: Any) -> ServerAddress:
    return ServerAddress(url, **{"silence_seconds": 30.0, **options})
