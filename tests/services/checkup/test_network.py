"""The port that the service would take, and who could come in."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from localassist.services.checkup import Finding, network
from localassist.settings import load_settings
from localassist.storage.config import StorageSettings
from localassist.storage.database import Database
from tests.services.checkup.test_stored import change


def look(check: Callable[[Any], Iterator[Finding]], home: Path, **server: object) -> Finding:
    (found,) = check(load_settings(home, environ={}, server=server))
    return found


@contextmanager
def listening(answer: bytes | None) -> Iterator[int]:
    """A server whose every answer is this; None never answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if answer is not None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_a_free_port_stays_free(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
    assert look(network.port, tmp_path, port=number).says == (f"127.0.0.1:{number} is free.",)
    socket.create_server(("127.0.0.1", number)).close()
    assert look(network.port, tmp_path, port=0).status == "ok"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b'{"status": "ok"}', "ok"),
        (b"<html>", "warning"),
        (b"[]", "warning"),
        (b'{"status": "up"}', "warning"),
        (None, "warning"),
    ],
)
def test_a_port_that_is_taken(tmp_path: Path, answer: bytes | None, status: str) -> None:
    with listening(answer) as number:
        found = look(network.port, tmp_path, port=number)
    assert found.status == status
    assert ("localassist answers" in found.says[0]) == (status == "ok")


def test_an_address_of_another_machine(tmp_path: Path) -> None:
    assert look(network.port, tmp_path, host="192.0.2.1", port=8000).status == "failed"


def test_who_could_come_in(tmp_path: Path) -> None:
    home = tmp_path / "data"
    assert look(network.network, home).says == ("Only this machine can reach 127.0.0.1.",)
    found = look(network.network, home, host="0.0.0.0")
    assert found.status == "failed" and found.fix == "localassist keys create NAME"
    allowed = look(network.network, home, host="0.0.0.0", allow_unauthenticated_network=True)
    assert allowed.status == "warning"
    assert look(network.network, home, host="::", api_keys=["k"]).status == "ok"
    Database.open(home, StorageSettings())._dispose()
    assert look(network.network, home, host="0.0.0.0").status == "failed"
    change(
        home,
        "INSERT INTO api_keys (id, project_id, name, sha256, ending, created_at) "
        "VALUES ('k', 'proj_default', 'n', 's', 'abcd', 1)",
    )
    assert look(network.network, home, host="0.0.0.0").status == "ok"
