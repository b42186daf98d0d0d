"""The wire protocol, against libzmq and against peers that mean harm."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

import pytest
import zmq
import zmq.asyncio

from localassist.sandbox import wire, zmtp
from localassist.sandbox.connection import MAX_MESSAGE_BYTES, Connection, ConnectionLost

PEER = bytearray(zmtp.GREETING) + zmtp.ready(b"PUB")
KEY = b"key"


def decoded(
    data: bytes, sizes: random.Random | None = None, limit: int = 1000
) -> list[list[bytes]]:
    decoder, messages, position = zmtp.Decoder(limit, 8), [], 0
    while position < len(data):
        step = sizes.randint(1, 40) if sizes else len(data)
        messages += decoder.feed(data[position : position + step])
        while decoder.is_behind:
            messages += decoder.feed(b"")
        position += step
    return messages


@pytest.mark.parametrize("seed", range(5))
def test_messages_survive_any_cut_and_large_ones_are_skipped(seed: int) -> None:
    sizes = random.Random(seed)
    small = [[b"a" * n, b"", b"b" * (400 - n)] for n in range(0, 400, 50)]
    data = bytes(PEER)
    for message in small:
        data += zmtp.encode([b"x" * 700, b"y" * 700, b"z"]) + zmtp.encode(message)
        data += zmtp.encode([b"many"] * 9) + bytes((4, 3)) + b"cmd"
    assert decoded(data, sizes) == small
    assert decoded(data) == small


def test_a_frame_that_claims_to_be_endless_takes_no_memory() -> None:
    decoder = zmtp.Decoder(1000, 8)
    decoder.feed(bytes(PEER) + b"\x02" + b"\x7f" * 8)
    for _ in range(1000):
        assert decoder.feed(bytes(100_000)) == []
    assert decoder.skipped == 1
    assert len(decoder._data) == 0


def test_a_message_that_never_ends_takes_no_memory() -> None:
    decoder = zmtp.Decoder(1000, 8)
    decoder.feed(bytes(PEER))
    for _ in range(1000):
        decoder.feed((b"\x01\x64" + bytes(100)) * 100)
    assert decoder.skipped == 1
    assert len(decoder._frames) == 0 and len(decoder._data) < 200


def test_many_messages_are_read_in_portions() -> None:
    many = [[b"x"]] * 2500
    decoder = zmtp.Decoder(1000, 8)
    assert len(decoder.feed(bytes(PEER) + b"".join(map(zmtp.encode, many)))) < 1001
    assert decoder.is_behind
    assert len(decoder.feed(b"") + decoder.feed(b"")) > 1490
    assert not decoder.is_behind


def test_frames_are_counted_also_those_that_say_nothing() -> None:
    decoder = zmtp.Decoder(1000, 8)
    assert decoder.feed(bytes(PEER)) == [] and decoder.frames == 1
    empty_commands, many_frames, large = b"\x04\x00" * 100, b"\x01\x00" * 100, b"\x00\xff"
    assert decoder.feed(empty_commands + many_frames + large) == []
    assert decoder.frames == 202 and decoder.skipped == 1


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1", bytes(9) + b"\x01" + bytes(60)])
def test_another_protocol_is_refused(start: bytes) -> None:
    with pytest.raises(zmtp.ZmtpError):
        decoded(start.ljust(64))


async def test_libzmq_understands_it(tmp_path: Path) -> None:
    context = zmq.asyncio.Context()
    router, publisher = context.socket(zmq.ROUTER), context.socket(zmq.XPUB)
    try:
        router.bind(f"ipc://{tmp_path}/r")
        publisher.bind(f"ipc://{tmp_path}/p")
        dealer = await Connection.open(f"{tmp_path}/r", b"DEALER")
        await dealer.send([b"", b"x" * 300, b"y" * 1_000_000])
        identity, *frames = await router.recv_multipart()
        assert frames == [b"", b"x" * 300, b"y" * 1_000_000]
        await router.send_multipart([identity, b"back", b"z" * 70_000])
        assert await received(dealer) == [b"back", b"z" * 70_000]
        subscriber = await Connection.open(f"{tmp_path}/p", b"SUB")
        assert await publisher.recv() == b"\x01"
        await publisher.send_multipart([b"too", bytes(MAX_MESSAGE_BYTES)])
        await publisher.send_multipart([b"topic", b"body"])
        assert await received(subscriber) == [b"topic", b"body"]
        assert subscriber.skipped == 1
        publisher.close(0)
        with pytest.raises(ConnectionLost):
            await received(subscriber)
        dealer.close()
        subscriber.close()
    finally:
        context.destroy(0)
    with pytest.raises(ConnectionLost):
        await Connection.open(f"{tmp_path}/nobody", b"SUB")


async def received(connection: Connection) -> list[bytes]:
    while True:
        messages = await asyncio.wait_for(connection.receive(), 20)
        if messages:
            return messages[0]


def answer(content: bytes, key: bytes = KEY, kind: str = "stream") -> list[bytes]:
    parts = [json.dumps({"msg_type": kind}).encode(), b'{"msg_id": "p"}', b"{}", content]
    return [b"stream", wire.DELIMITER, wire._signature(key, parts), *parts]


def test_a_request_is_signed_and_can_be_read() -> None:
    request_id, frames = wire.request("execute_request", {"code": "é"}, "s", KEY)
    assert json.loads(frames[2])["msg_id"] == request_id
    assert wire.parse(frames, KEY).content == {"code": "é"}
    assert wire.parse(answer(b'{"text": "a"}'), KEY) == wire.Message("stream", "p", {"text": "a"})
    assert wire.parent_of(answer(b"not JSON")) == "p"


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b"x"],
        [wire.DELIMITER],
        answer(b"{}")[:-1],
        answer(b"{}", b"another key"),
        answer(b"\xff\xfe"),
        answer(b"[]"),
        answer(b"{" * 100_000),
        answer(b'{"a": [' + b"[]," * 600_000 + b"0]}"),
        answer(b"{" + b'"a":"",' * 200_000 + b'"b":0}'),
        answer(b'{"a": ' + b"1" * 300_000 + b"}"),
    ],
)
def test_what_cannot_be_read_is_refused(frames: list[bytes]) -> None:
    with pytest.raises(wire.Unreadable):
        wire.parse(frames, KEY)


def test_long_texts_are_read_whatever_they_contain() -> None:
    text = '[{"a\\\\": "\\n,{[' * 100_000
    assert wire.parse(answer(json.dumps({"text": text}).encode()), KEY).content["text"] == text


def test_a_parent_that_cannot_be_read_is_none() -> None:
    assert wire.parent_of([b"x"]) is None
    frames = answer(b"{}")
    frames[4] = b"{" + b" " * 100_000 + b"}"
    assert wire.parent_of(frames) is None


def large(content: object, kind: str, text_bytes: int = 1000) -> wire.Message:
    frames = answer(json.dumps(content, ensure_ascii=False).encode(), kind=kind)
    return wire.parse_large(frames, KEY, text_bytes)


@pytest.mark.parametrize("unit", ["abc", "\\", '"', "é", "😀", "\n", "\x00", '\\"'])
@pytest.mark.parametrize("text_bytes", range(100, 113))
def test_the_beginning_of_a_large_text_is_read(unit: str, text_bytes: int) -> None:
    message = large({"name": "stderr", "text": unit * 500}, "stream", text_bytes)
    text = message.content["text"]
    assert message.content["name"] == "stderr" and (unit * 500).startswith(text)
    assert 10 <= len(text) <= text_bytes and message.left_out > 300
    plain = {"data": {"text/html": '"text/plain": "no"', "text/plain": unit * 500}}
    assert (unit * 500).startswith(
        large(plain, "display_data", text_bytes).content["data"]["text/plain"]
    )


def test_of_a_large_display_only_the_image_is_read() -> None:
    data = {"text/html": '"image/png": "x"', "image/png": "QUJD\nREVG", "text/plain": "x"}
    content = {"data": data, "metadata": {}, "transient": {"display_id": "a"}}
    message = large(content, "update_display_data")
    assert message.content == {"data": {"image/png": "QUJDREVG"}, "transient": {"display_id": "a"}}
    assert large({"data": {"text/plain": "all"}}, "display_data").content["data"] == {
        "text/plain": "all"
    }
    assert large({"ename": "E"}, "error").content == {"ename": "E"}
    for content in ({"data": {"text/html": "x"}}, {"text": 3}):
        for kind in ("stream", "display_data"):
            with pytest.raises(wire.Unreadable):
                large(content, kind)
