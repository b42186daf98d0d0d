import asyncio
import gc
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localassist.cli.main import app
from localassist.errors import ConfigError
from localassist.server import serve
from localassist.server.config import ServerSettings
from localassist.server.serve import base_url, check_exposure, listen
from localassist.settings import load_settings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_no_key(host: str) -> None:
    check_exposure(ServerSettings(host=host), is_guarded=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.5", "example.org"])
def test_the_network_needs_a_key_or_an_explicit_wish(host: str) -> None:
    with pytest.raises(ConfigError, match="no API key"):
        check_exposure(ServerSettings(host=host), is_guarded=False)
    check_exposure(ServerSettings(host=host), is_guarded=True)
    wished = ServerSettings(host=host, allow_unauthenticated_network=True)
    check_exposure(wished, is_guarded=False)


@pytest.mark.parametrize("is_in", ["configuration", "data folder"])
def test_any_key_guards_the_network(
    localassist_home: Path, monkeypatch: pytest.MonkeyPatch, is_in: str
) -> None:
    monkeypatch.setattr(serve, "_run", lambda serving: serving.close())
    settings = load_settings(server={"host": "0.0.0.0", "port": 0})
    with pytest.raises(ConfigError, match="localassist keys create"):
        serve.run_server(settings, lambda url, is_guarded: None)
    if is_in == "configuration":
        settings = load_settings(server={"host": "0.0.0.0", "port": 0, "api_keys": ["sk-a"]})
    else:
        with pytest.raises(SystemExit, match="0"):
            app(["keys", "create", "anna"])
    serve.run_server(settings, lambda url, is_guarded: None)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_port_in_use_is_the_operators_error(taken_port: int) -> None:
    with pytest.raises(ConfigError, match=f"127.0.0.1:{taken_port}"):
        listen(ServerSettings(port=taken_port))


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000/v1"),
        ("0.0.0.0", "http://127.0.0.1:8000/v1"),
        ("::1", "http://[::1]:8000/v1"),
        ("box.lan", "http://box.lan:8000/v1"),
    ],
)
def test_the_url_is_one_that_a_client_here_can_use(host: str, url: str) -> None:
    assert base_url(host, 8000) == url


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop does not exist there")
def test_it_serves_on_the_fast_loop() -> None:
    loops: list[str] = []

    async def look() -> None:
        loops.append(type(asyncio.get_running_loop()).__module__)

    serve._run(look())
    assert loops == ["uvloop"]


def test_a_settled_process_hands_over_quickly_and_collects_little() -> None:
    before = sys.getswitchinterval()
    try:
        serve._settle()
        assert sys.getswitchinterval() == pytest.approx(0.0005)
        assert gc.get_freeze_count() > 10_000
    finally:
        sys.setswitchinterval(before)
        gc.unfreeze()


async def test_small_answers_are_sent_at_once() -> None:
    """On the library's own loop, where nothing but the kind of listener decides it."""
    is_direct: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted = writer.get_extra_info("socket")
        is_direct.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    with listen(ServerSettings(port=0)) as listener:
        async with await asyncio.start_server(accept, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            assert await asyncio.wait_for(is_direct, 10)
            writer.close()
            await writer.wait_closed()
