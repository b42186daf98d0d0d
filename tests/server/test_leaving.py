"""A client that goes away takes with it what only it was waiting for."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from localassist.engine import ScriptedEngine
from localassist.server.app import create_app
from tests.runs.conftest import OpenRuntime, open_scripted
from tests.server.asgi import request

__all__ = ["open_scripted"]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_completion_nobody_waits_for_is_stopped(
    open_scripted: OpenRuntime, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    engine = ScriptedEngine("word " * 1000, model_id="scripted", delay_seconds=0.02)
    gone = asyncio.Event()
    messages = [{"role": "user", "content": "Hi"}]
    body = json.dumps({"model": "scripted", "messages": messages, "stream": stream}).encode()
    async with open_scripted(engine) as runtime:
        app = create_app(runtime, runtime.settings.server)
        path = "/v1/chat/completions"
        asking = asyncio.create_task(request(app, "POST", path, chunks=(body,), gone=gone))
        for _ in range(500):
            await asyncio.sleep(0.01)
            if engine.counters.running:
                break
        gone.set()
        await asyncio.wait_for(asking, 2)
        assert (engine.counters.running, engine.counters.aborted) == (0, 1)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_client_that_leaves_amid_its_body_is_no_error(
    open_scripted: OpenRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_scripted(ScriptedEngine()) as runtime:
        app = create_app(runtime, runtime.settings.server)
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/threads",
            "root_path": "",
            "query_string": b"",
            "headers": [],
        }
        sent: list[object] = []

        async def receive() -> dict[str, object]:
            return {"type": "http.disconnect"}

        async def send(message: object) -> None:
            sent.append(message)

        await app(scope, receive, send)  # type: ignore[arg-type]
        assert sent == []
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
