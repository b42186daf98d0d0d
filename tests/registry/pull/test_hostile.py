"""Servers that lie: about sizes and places, in headers and lists. Refused in a sentence, and no
room on the disk is taken that was not agreed on."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from localassist.errors import DownloadFailed, StorageUnavailable
from localassist.registry import Catalog
from localassist.registry.pull import listing
from localassist.registry.pull.listing import look
from localassist.registry.pull.place import parse_place
from localassist.registry.pull.pulling import Pull
from localassist.registry.pull.web import Access, Web

HUB = "https://hub.example"
REVISION, TREE = "/api/models/acme/tiny/revision/main", "/api/models/acme/tiny/tree/c0ffee"
NINES = "9" * 5000

Handler = Callable[[httpx.Request], httpx.Response]


def web(handler: Handler) -> Web:
    client = Web(Access(pause=lambda _: None))
    hooks = client._client.event_hooks
    client._client.close()
    client._client = httpx.Client(
        transport=httpx.MockTransport(handler), follow_redirects=True, event_hooks=hooks
    )
    return client


def hub(entry: dict[str, Any], body: Handler) -> Handler:
    """A hub with one file, which it describes like this and sends like that."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == REVISION:
            return httpx.Response(200, json={"sha": "c0ffee"})
        if request.url.path == TREE:
            return httpx.Response(200, json=[{"path": "tiny.gguf", **entry}])
        if request.url.path.endswith(".sha256"):
            return httpx.Response(404)
        return body(request)

    return answer


def pull(home: Path, handler: Handler, place: str = "acme/tiny") -> None:
    with web(handler) as client:
        found = look(client, parse_place(place), HUB)
        offer = found.choose(None, None)
        assert offer is not None
        Pull(
            Catalog(home), client, found, offer, model_id=None, sha256=None, say=lambda _: None
        ).run(lambda *_: None)


def endless(_: httpx.Request) -> httpx.Response:
    def body() -> Iterator[bytes]:
        yield b"GGUF"
        for _ in range(4000):
            yield bytes(2**16)
        raise AssertionError("far more was read than was agreed on")

    return httpx.Response(200, content=body())


def test_a_body_longer_than_promised_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="more than the 100,000 bytes"):
        pull(tmp_path, hub({"size": 100_000}, endless))
    assert not list(tmp_path.rglob("*.gguf*"))


def test_a_body_of_unknown_length_leaves_room_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = itertools.chain([2**30] * 3, itertools.repeat(2**20))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=next(free)))
    with pytest.raises(StorageUnavailable, match="nearly full"):
        pull(tmp_path, hub({"size": "?"}, endless))


@pytest.mark.parametrize("size", [10**400, 10**16, -1, True, "9", None])
def test_sizes_that_no_file_has_are_not_believed(tmp_path: Path, size: object) -> None:
    def page(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=iter([b"no model at all"]))

    with pytest.raises(DownloadFailed, match="not a GGUF file"):
        pull(tmp_path, hub({"size": size}, page))


@pytest.mark.parametrize("number", [NINES, "²"])
@pytest.mark.parametrize("status", [200, 206, 416, 503])
def test_numbers_in_headers_may_be_none(tmp_path: Path, status: int, number: str) -> None:
    raw = number.encode("latin-1")
    headers = [
        (b"Content-Range", b"bytes " + raw + b"-" + raw + b"/" + raw),
        (b"Content-Length", raw),
        (b"Retry-After", raw),
        (b"ETag", b'"\xe9"'),
    ]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET" and "range" not in request.headers:
            return httpx.Response(200, headers=headers[3:], content=torn())
        return httpx.Response(status, headers=headers, content=iter([b"GGUF"]))

    def torn() -> Iterator[bytes]:
        yield b"GGUF" + bytes(100)
        raise httpx.ReadError("gone")

    with pytest.raises(DownloadFailed):
        pull(tmp_path, answer, f"{HUB}/tiny.gguf")


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://hub.example/x", "gopher://x/", "http://[::1"]
)
def test_a_redirect_leads_to_the_web_or_nowhere(location: str) -> None:
    asked: list[httpx.URL] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return httpx.Response(302, headers={"Location": location})

    with web(answer) as client, pytest.raises(DownloadFailed):
        client.text("http://mirror.example/x.gguf")
    assert len(asked) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "0.0.0.0"])
def test_a_redirect_does_not_reach_services_of_this_machine(host: str) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(302, headers={"Location": f"http://{host}:8080/stop"})

    with web(answer) as client, pytest.raises(DownloadFailed, match="this machine"):
        client.text("http://mirror.example/x.gguf")
    assert asked == ["mirror.example"]


def test_a_page_of_endless_links_is_not_asked_about_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_MOST_FILES", 10)
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        links = "".join(f'<a href="{n}.gguf">x</a>' for n in range(1000))
        return httpx.Response(200, html=links)

    with web(answer) as client, pytest.raises(DownloadFailed, match="more than 10"):
        look(client, parse_place(f"{HUB}/models/"), HUB)
    assert asked == ["GET"]


@pytest.mark.parametrize("link", ["http://[", "http://[::1]x/a.gguf", "//[/a.gguf", "http://h:x/"])
def test_links_that_are_no_addresses_are_passed_by(tmp_path: Path, link: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/"):
            return httpx.Response(200, html=f'<![x[<a href="{link}">x</a><a href="a.gguf">a</a>')
        if request.url.path == TREE:
            return httpx.Response(200, json=[], headers={"Link": f'<{link}>; rel="next"'})
        return httpx.Response(200, json={"sha": "c0ffee"})

    with web(answer) as client:
        try:
            assert len(look(client, parse_place(f"{HUB}/models/"), HUB).offers) == 1
        except DownloadFailed as error:  # some readers of HTML stop at its beginning
            assert "links to some" in error.message
        assert not look(client, parse_place("acme/tiny"), HUB).offers


def test_names_from_a_list_stay_in_their_folder(tmp_path: Path) -> None:
    for name in (
        "../../x.gguf",
        "/etc/x.gguf",
        "..\\x.gguf",
        "a\r\nb: c.gguf",
        "\x1b]0;x\x07.gguf",
    ):
        with pytest.raises(DownloadFailed, match="not a GGUF file"):
            pull(
                tmp_path / "home",
                hub({"path": name}, lambda _: httpx.Response(200, content=iter([b"no model"]))),
            )
    assert not [path for path in tmp_path.rglob("*") if "x.gguf" in path.name]
