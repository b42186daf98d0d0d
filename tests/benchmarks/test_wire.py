"""The client against a server that cuts its events anywhere."""

import asyncio
import json
from collections.abc import Sequence

import pytest

from benchmarks import wire

USAGE = {
    "completion_tokens": 3,
    "prompt_tokens": 9,
    "prompt_tokens_details": {"cached_tokens": 4},
}
EVENTS: list[dict[str, object]] = [
    {"choices": [{"delta": {"role": "assistant"}}]},
    {"choices": [{"delta": {"content": "Grüße"}}]},
    {"choices": [{"delta": {"content": ", you"}}]},
    {"choices": [], "usage": USAGE},
]


async def answered(parts: Sequence[bytes], status: str = "200 OK") -> wire.Streamed:
    """What the client makes of a response whose body comes in these parts."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for part in (*parts, b""):
            writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        return await wire.stream_chat(f"http://127.0.0.1:{port}/v1", {"messages": []})


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("size", [1, 7, 4096])
async def test_events_are_read_however_they_are_cut(ending: str, size: int) -> None:
    blank = ending * 2
    lines = [f": ping{blank}", *(f"data: {json.dumps(event)}{blank}" for event in EVENTS)]
    body = "".join([*lines, f"data: [DONE]{blank}"]).encode()
    answer = await answered([body[i : i + size] for i in range(0, len(body), size)])
    assert (answer.text, answer.tokens, answer.prompt_tokens, answer.cached_tokens) == (
        "Grüße, you",
        3,
        9,
        4,
    )
    assert len(answer.arrivals) == 2 and answer.first_token <= answer.arrivals[1] <= answer.wall


async def test_a_refusal_is_an_error_with_its_text() -> None:
    with pytest.raises(RuntimeError, match="full"):
        await answered([b"the server is full"], status="503 Service Unavailable")
