"""A hub and a mirror on a socket, which answer as the real ones do, and misbehave when told to."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "c0ffee" + "0" * 34
REPO = "acme/Tiny-GGUF"


@dataclass
class Behaviour:
    """What the server does. ``files`` are those of the one repository, by path; the same lie under
    ``/mirror/``. ``log`` holds method, path and headers of every request."""

    files: dict[str, bytes] = field(default_factory=dict)
    cut_after: list[int] = field(default_factory=list)
    """Body bytes after which the connection breaks, one entry for each of the next downloads."""
    busy: list[int] = field(default_factory=list)
    """Statuses of the next downloads."""
    knows_ranges: bool = True
    etag: str | None = None
    page: bytes | None = None
    """A web page in place of every file."""
    sums: dict[str, str] = field(default_factory=dict)
    """What the hub's list or a ``.sha256`` file says where it is not the truth; "" says nothing."""
    redirects: bool = False
    token: str | None = None
    page_size: int = 100
    stall_after: int | None = None
    """Body bytes after which downloads wait until ``released``."""
    released: threading.Event = field(default_factory=threading.Event)
    log: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    @property
    def ranges(self) -> list[str | None]:
        """The ranges that downloads asked for."""
        return [
            headers.get("range")
            for method, path, headers in self.log
            if method == "GET" and path.endswith(".gguf") and "/api/" not in path
        ]

    def count(self, part: str) -> int:
        return Counter(part in path for _, path, _ in self.log)[True]


@contextmanager
def hub(behaviour: Behaviour) -> Iterator[str]:
    """Its address."""
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"is_so": behaviour}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that went away are no news."""


class _Handler(BaseHTTPRequestHandler):
    is_so: Behaviour
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None: ...

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.is_so.log.append((self.command, self.path, headers))
        path = self.path.partition("?")[0]
        if self.is_so.token and headers.get("authorization") != f"Bearer {self.is_so.token}":
            self._send(401, b"{}")
        elif path.startswith(f"/api/models/{REPO}/revision/"):
            card = {"license": "mit"}
            self._send_json({"id": REPO, "sha": COMMIT, "cardData": card})
        elif path == f"/api/models/{REPO}/tree/{COMMIT}":
            self._tree()
        elif match := re.fullmatch(rf"/{REPO}/resolve/{COMMIT}/(.+)", path):
            if self.is_so.redirects:
                self._send(302, b"", {"Location": f"/mirror/{match[1]}"})
            else:
                self._file(match[1], headers)
        elif path == "/mirror/":
            links = "".join(f'<a href="{name}">{name}</a>' for name in self.is_so.files)
            self._send(200, f"<a href='../'>up</a>{links}".encode(), HTML)
        elif path.startswith("/mirror/") and path.endswith(".sha256"):
            self._sum(path.removeprefix("/mirror/").removesuffix(".sha256"))
        elif path.startswith("/mirror/"):
            self._file(path.removeprefix("/mirror/"), headers)
        else:
            self._send(404, b"not here")

    def _tree(self) -> None:
        names = sorted(self.is_so.files)
        start = int(self.path.partition("cursor=")[2] or 0)
        shown = names[start : start + self.is_so.page_size]
        entries: list[dict[str, Any]] = [{"type": "file", "path": "README.md", "size": 5}]
        for name in shown:
            data = self.is_so.files[name]
            entry: dict[str, Any] = {"type": "file", "path": name, "size": len(data)}
            sha256 = self.is_so.sums.get(name, hashlib.sha256(data).hexdigest())
            if sha256:
                entry["lfs"] = {"oid": sha256, "size": len(data)}
            entries.append(entry)
        more = {}
        if start + self.is_so.page_size < len(names):
            url = self.path.partition("&")[0] + f"&cursor={start + self.is_so.page_size}"
            more["Link"] = f'<{url}>; rel="next"'
        self._send_json(entries, more)

    def _sum(self, name: str) -> None:
        if name not in self.is_so.sums:
            self._send(404, b"")
        else:
            self._send(200, f"{self.is_so.sums[name]} *{name}\n".encode())

    def _file(self, name: str, headers: dict[str, str]) -> None:
        data = self.is_so.files.get(name)
        if data is None:
            self._send(404, b"not here")
            return
        if self.command == "GET" and self.is_so.busy:
            self._send(self.is_so.busy.pop(0), b"", {"Retry-After": "7"})
            return
        if self.is_so.page is not None:
            self._send(200, self.is_so.page, HTML)
            return
        tag = self.is_so.etag or f'"{hashlib.md5(data).hexdigest()}"'
        start, status, more = 0, 200, {"ETag": tag}
        asked = headers.get("range", "")
        if asked and self.is_so.knows_ranges and headers.get("if-range", tag) == tag:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(data):
                self._send(416, b"", {"Content-Range": f"bytes */{len(data)}"})
                return
            status = 206
            more["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self._send(status, data[start:], more, cuttable=self.command == "GET")

    def _send_json(self, value: object, more: dict[str, str] | None = None) -> None:
        kind = {"Content-Type": "application/json"}
        self._send(200, json.dumps(value).encode(), kind | (more or {}))

    def _send(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        cuttable: bool = False,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if cuttable and self.is_so.cut_after:
            body = body[: self.is_so.cut_after.pop(0)]
            self.close_connection = True
        elif cuttable and self.is_so.stall_after is not None:
            self.wfile.write(body[: self.is_so.stall_after])
            self.is_so.released.wait()
            body = body[self.is_so.stall_after :]
        self.wfile.write(body)


HTML = {"Content-Type": "text/html; charset=utf-8"}
