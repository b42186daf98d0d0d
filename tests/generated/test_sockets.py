"""Bytes on a socket that no client library would send."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localassist.server import protocol
from tests.generated.answers import check

# The SDK marks the surface under test as deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")

# An answer that takes so long hangs.
TIMEOUT_SECONDS = 30
HEAD = b"Host: x\r\nConnection: close\r\n"


@contextmanager
def connected(client: openai.OpenAI) -> Iterator[socket.socket]:
    port = client.base_url.port
    assert port is not None
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS) as connection:
        yield connection


def read_all(connection: socket.socket) -> bytes:
    answer = b""
    try:
        while piece := connection.recv(2**16):
            answer += piece
    except ConnectionResetError:
        pass  # it was refused before it had been read to its end
    return answer


def ask(client: openai.OpenAI, sent: bytes, *, is_ended: bool = False) -> bytes:
    """All that comes back until the server closes the connection."""
    with connected(client) as connection:
        try:
            connection.sendall(sent)
            if is_ended:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # likewise
        return read_all(connection)


def judge(answer: bytes) -> tuple[int, str | None]:
    """Status and error message of one answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    status = int(status_line.split()[1])
    error = check(status, headers, body)
    return status, None if error is None else error["message"]


def request(line: bytes, headers: bytes = b"", body: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    return line + b" HTTP/1.1\r\n" + HEAD + length + headers + b"\r\n" + body


CHUNKED = b"Transfer-Encoding: chunked\r\n"
NO_HTTP = {
    "nothing sensible": b"\x00\x01\x02\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 100,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a version nobody knows": b"GET /v1/models HTTP/9.9\r\nHost: x\r\n\r\n",
    "a path that is no UTF-8": request(b"GET /v1/threads/thread_\xff\xfe"),
    "a query that is no UTF-8": request(b"GET /v1/assistants?after=\xff"),
    "a URL that is none": request(b"GET http://[::1/v1/models"),
    "a method nobody knows": request(b"FOO /v1/models"),
    "NUL in a header": request(b"GET /v1/models", b"OpenAI-Beta: a\0b\r\n"),
    "a header over two lines": request(b"GET /v1/models", b"X-A: a\r\n  b\r\n"),
    "a bare CR in a header": request(b"GET /v1/models", b"X-A: a\rb\r\n"),
    "a space before a colon": request(b"GET /v1/models", b"X-A : a\r\n"),
    "a negative length": request(b"POST /v1/threads", b"Content-Length: -5\r\n"),
    "an endless length": request(b"POST /v1/threads", b"Content-Length: %s\r\n" % (b"9" * 40)),
    "two lengths": request(b"POST /v1/threads", b"Content-Length: 3\r\n", b"{}"),
    "a length and chunks": request(b"POST /v1/threads", CHUNKED, b"2\r\n{}\r\n0\r\n\r\n"),
    "a chunk without a size": request(b"POST /v1/threads", CHUNKED) + b"zz\r\n{}\r\n0\r\n\r\n",
    "a chunk of endless size": request(b"POST /v1/threads", CHUNKED) + b"f" * 18 + b"\r\n{}\r\n",
}


@pytest.mark.parametrize("case", NO_HTTP)
def test_what_is_no_http_is_refused_in_the_envelope(client: openai.OpenAI, case: str) -> None:
    status, _ = judge(ask(client, NO_HTTP[case]))
    assert status == 400


ODD = {
    "HTTP/1.0": (b"GET /v1/models HTTP/1.0\r\n\r\n", 200),
    "no host": (b"GET /v1/models HTTP/1.1\r\nConnection: close\r\n\r\n", 200),
    "the whole URL": (request(b"GET http://elsewhere/v1/models"), 200),
    "any host": (request(b"OPTIONS *"), 404),
    "TRACE": (request(b"TRACE /v1/models"), 405),
    "an escaped path that is no UTF-8": (request(b"GET /v1/threads/thread_%ff%fe"), 404),
    "an escaped NUL": (request(b"GET /v1/threads/thread_%00"), 400),
    "an escape that is none": (request(b"GET /v1/threads/thread_%zz"), 404),
    "a way up": (request(b"GET /v1/files/../../etc/passwd"), 404),
    "an escaped way up": (request(b"GET /v1/files/file-..%2f..%2fetc/content"), 404),
    "two slashes": (request(b"GET //v1/models"), 404),
    "a header that is no UTF-8": (request(b"GET /v1/models", b"OpenAI-Beta: \xff\r\n"), 200),
    "a WebSocket": (request(b"GET /v1/models", b"Upgrade: websocket\r\n"), 200),
    "a body to GET": (request(b"GET /v1/models", body=b"{}"), 200),
    "a long query": (request(b"GET /v1/assistants?after=" + b"a" * 60_000), 404),
    "a declared length above the limit": (
        request(b"POST /v1/threads", b"Content-Length: 68719476736\r\n"),
        413,
    ),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_requests(client: openai.OpenAI, case: str) -> None:
    sent, status = ODD[case]
    assert judge(ask(client, sent))[0] == status


@pytest.mark.parametrize(
    "sent",
    [
        request(b"GET /v1/models", b"X-A: %s\r\n" % (b"a" * 200_000)),
        request(b"GET /v1/models", b"X-A: a\r\n" * 20_000),
        request(b"GET /v1/threads/thread_" + b"a" * 70_000),
        b"GET /v1/models HTTP/1.1\r\nX-A: " + b"a" * 1_000_000,
    ],
    ids=["one header", "many headers", "a path", "a header without an end"],
)
def test_the_head_of_a_request_has_a_size(client: openai.OpenAI, sent: bytes) -> None:
    """They were read for as long as they came, in ever longer steps."""
    answer = ask(client, sent)
    # Bytes that were still on their way may have cost the answer.
    if answer:
        assert judge(answer)[0] == 431


def test_a_head_that_does_not_come_is_not_waited_for(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    with connected(client) as half, connected(client) as silent:
        half.sendall(b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX-")
        assert judge(read_all(half))[0] == 408
        assert read_all(silent) == b""


def test_a_body_may_take_its_time(client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
    with connected(client) as connection:
        connection.sendall(request(b"POST /v1/threads", body=b"{}")[:-1])
        connection.settimeout(0.6)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(TIMEOUT_SECONDS)
        connection.sendall(b"}")
        assert judge(read_all(connection))[0] == 200


def trickle(connection: socket.socket) -> bytes:
    """A byte now and then, until the server has had enough; returns what it says."""
    connection.settimeout(0.05)
    answer = b""
    for _ in range(20 * TIMEOUT_SECONDS):
        try:
            connection.sendall(b" ")
            while piece := connection.recv(2**16):
                answer += piece
            return answer
        except TimeoutError:
            continue
        except OSError:
            return answer
    raise AssertionError("the server goes on reading")


JSON = b"POST /v1/threads HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{"
FORM = (
    b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    b"Content-Length: 100000\r\n\r\n--x\r\n"
    b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
)
CHUNKS = b"POST /v1/threads HTTP/1.1\r\nHost: x\r\n" + CHUNKED + b"\r\n100000\r\n{"


@pytest.mark.parametrize("begun", [JSON, FORM, CHUNKS])
def test_a_body_that_trickles_in_is_not_waited_for(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(protocol.HttpProtocol, "body_seconds", 0.3)
    with connected(client) as connection:
        connection.sendall(begun)
        status, message = judge(trickle(connection))
        assert status == 408 and message is not None and "too slow" in message
    assert client.models.list().data


def test_a_body_that_nobody_reads_holds_no_connection(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol.HttpProtocol, "body_seconds", 0.3)
    with connected(client) as connection:
        connection.sendall(JSON.replace(b"/v1/threads", b"/v1/nothing"))
        answer = trickle(connection)
        assert judge(answer)[0] == 404 and answer.count(b"HTTP/1.1 ") == 1


def test_a_large_body_has_more_time(client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol.HttpProtocol, "body_seconds", 0.3)
    body = b'{"metadata": {}}' + b" " * 2**22
    with connected(client) as connection:
        connection.sendall(request(b"POST /v1/threads", body=body)[:-1])
        time.sleep(0.6)  # more than a small one may take
        connection.sendall(b" ")
        assert judge(read_all(connection))[0] == 200


def test_pipelined_requests_are_answered_in_order(client: openai.OpenAI) -> None:
    kept = b"GET /v1/threads/thread_%d HTTP/1.1\r\nHost: x\r\n\r\n"
    sent = b"".join(kept % number for number in range(20)) + request(b"GET /v1/threads/thread_end")
    answers = ask(client, sent)
    assert answers.count(b"HTTP/1.1 404") == 21
    places = [answers.index(b"thread_%d'" % number) for number in range(20)]
    assert places == sorted(places)


def test_what_follows_a_good_request_does_not_spoil_its_answer(client: openai.OpenAI) -> None:
    answer = ask(client, request(b"GET /v1/models") + b"\x00\x01\x02\r\n\r\n")
    assert answer.count(b"HTTP/1.1 ") <= 1


def test_a_request_cut_in_its_body_is_no_request(client: openai.OpenAI) -> None:
    before = len(client.beta.assistants.list().data)
    cut = request(b"POST /v1/assistants", body=b'{"model": "gpt-4o"}')[:-1]
    assert ask(client, cut, is_ended=True) == b""
    assert len(client.beta.assistants.list().data) == before


def test_a_packed_body_is_not_unpacked(client: openai.OpenAI) -> None:
    """So none of a few bytes can become gigabytes."""
    bomb = gzip.compress(b'{"metadata": {}}' + b" " * 50_000_000)
    status, message = judge(
        ask(client, request(b"POST /v1/threads", b"Content-Encoding: gzip\r\n", bomb))
    )
    assert status == 400 and message is not None
    assert message.startswith("We could not parse the JSON body")


@settings(max_examples=40, derandomize=True, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [b"GET ", b"POST ", b"/v1/threads", b" HTTP/1.1", b"\r\n", b"\n", b": ", b"0"]
        )
        | st.sampled_from([b"Content-Length", CHUNKED, HEAD, b"\r\n\r\n", b"{}", b"2\r\n"])
        | st.binary(max_size=6),
        max_size=14,
    )
)
def test_pieces_of_http_in_any_order(client: openai.OpenAI, pieces: list[bytes]) -> None:
    answer = ask(client, b"".join(pieces), is_ended=True)
    for single in answer.split(b"HTTP/1.1 ")[1:]:
        status = int(single[:3])
        assert status < 500
        if status >= 400:
            body = single.partition(b"\r\n\r\n")[2]
            assert not body or "error" in json.loads(body)
