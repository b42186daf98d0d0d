from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from localassist.observability import logs
from localassist.observability.config import LoggingSettings
from tests.logging_state import loggers_put_back

LOG = logging.getLogger("localassist.somewhere")


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    with loggers_put_back():
        yield io.StringIO()


def lines(said: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.getvalue().splitlines()]


def test_a_line_carries_the_ids_it_was_said_under(said: io.StringIO) -> None:
    logs.configure(LoggingSettings(format="json"), said)
    with logs.bound(request_id="req_1"), logs.bound(run_id="run_1"):
        LOG.warning("%s is %d", "this", 1, extra=logs.fields(status=200))
    LOG.warning("that")
    first, second = lines(said)
    assert first["message"] == "this is 1" and first["logger"] == "localassist.somewhere"
    assert (first["request_id"], first["run_id"], first["status"]) == ("req_1", "run_1", 200)
    assert first["level"] == "warning" and first["time"].endswith("Z")
    assert "request_id" not in second


async def test_ids_follow_the_tasks_that_begin_under_them(said: io.StringIO) -> None:
    logs.configure(LoggingSettings(format="json"), said)

    async def work() -> None:
        await asyncio.sleep(0)
        await asyncio.to_thread(LOG.warning, "in a thread")

    with logs.bound(run_id="run_1"):
        task = asyncio.create_task(work())
    with logs.bound(run_id="run_2"):
        await task
    assert [line["run_id"] for line in lines(said)] == ["run_1"]


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_line_is_one_line_whatever_a_caller_sends(said: io.StringIO, style: Any) -> None:
    logs.configure(LoggingSettings(format=style), said)
    sent = "a\n12:00:00 error forged: yes\r\x1b[2J\u2028\x85é"
    with logs.bound(thread_id=sent):
        LOG.warning("no thread %s", sent)
    (line,) = said.getvalue().splitlines()
    assert "\x1b" not in line and "forged" in line


def test_a_traceback_is_kept(said: io.StringIO) -> None:
    logs.configure(LoggingSettings(format="json"), said)
    try:
        raise ValueError("broken")
    except ValueError:
        LOG.exception("it failed")
    (line,) = lines(said)
    assert line["exception"].endswith("ValueError: broken")


def test_only_what_is_wanted_is_said(said: io.StringIO) -> None:
    logs.configure(LoggingSettings(), said)
    LOG.info("detail")
    logging.getLogger("localassist.engine.pool").info("Loading a model.")
    logging.getLogger(logs.REQUESTS).info("GET /v1/models")
    assert said.getvalue().split(": ", 1)[1] == "Loading a model.\n"
    logs.configure(LoggingSettings(level="debug", requests=True), said)
    LOG.debug("detail")
    logging.getLogger(logs.REQUESTS).info("GET /v1/models")
    assert [line.split(": ", 1)[1] for line in said.getvalue().splitlines()[1:]] == [
        "detail",
        "GET /v1/models",
    ]
