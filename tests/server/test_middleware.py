import json
import logging

import pytest
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from localassist.errors import (
    ModelLoadFailed,
    RateLimited,
    ShuttingDown,
    StorageCorrupt,
    StorageUnavailable,
)
from localassist.runtime import open_keys
from localassist.server.auth import Gate
from localassist.server.config import ServerSettings
from localassist.server.middleware import Authentication, BodyLimit, ErrorBoundary, RequestContext
from localassist.settings import load_settings
from tests.server.asgi import request

SMALL = ServerSettings(max_body_bytes=1024, max_upload_bytes=2048)


async def echo_length(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    await PlainTextResponse(str(len(body)))(scope, receive, send)


def raising(exc: Exception) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise exc

    return RequestContext(ErrorBoundary(app))


def limited(settings: ServerSettings = SMALL) -> ASGIApp:
    return RequestContext(ErrorBoundary(BodyLimit(echo_length, settings)))


async def test_every_answer_carries_id_version_and_time() -> None:
    answer = await request(RequestContext(echo_length), "GET", "/")
    assert answer.headers["x-request-id"].startswith("req_")
    assert len(answer.headers["x-request-id"]) == 36
    assert answer.headers["openai-version"] == "2020-10-01"
    assert int(answer.headers["openai-processing-ms"]) >= 0


async def test_a_declared_length_above_the_limit_is_refused_unread() -> None:
    answer = await request(limited(), "POST", "/", headers={"content-length": "1025"})
    assert answer.status == 413
    message = json.loads(answer.body)["error"]["message"]
    assert message == "Maximum content size limit (1024) exceeded (1025 bytes read)"


async def test_an_undeclared_length_is_counted_while_reading() -> None:
    answer = await request(limited(), "POST", "/", chunks=(b"x" * 600, b"x" * 600, b"x" * 600))
    assert answer.status == 413
    assert "(1200 bytes read)" in json.loads(answer.body)["error"]["message"]


async def test_a_body_of_exactly_the_limit_passes() -> None:
    answer = await request(limited(), "POST", "/", chunks=(b"x" * 1024,))
    assert answer.body == b"1024"


async def test_uploads_have_their_own_limit() -> None:
    multipart = {"content-type": "multipart/form-data; boundary=b"}
    fits = await request(limited(), "POST", "/", headers=multipart, chunks=(b"x" * 2048,))
    large = await request(limited(), "POST", "/", headers=multipart, chunks=(b"x" * 2049,))
    assert (fits.status, large.status) == (200, 413)


async def test_only_the_api_asks_for_a_key() -> None:
    async with open_keys(load_settings()) as keys:
        gate = Gate("proj_default", [SecretStr("sk-right-key-123")], keys)
        await _check_where_keys_are_asked_for(gate)


async def _check_where_keys_are_asked_for(gate: Gate) -> None:
    app = RequestContext(ErrorBoundary(Authentication(echo_length, gate)))
    right = {"authorization": "Bearer sk-right-key-123"}
    assert (await request(app, "GET", "/health")).status == 200
    assert (await request(app, "GET", "/v1/models")).status == 401
    assert (await request(app, "GET", "/metrics")).status == 401
    assert (await request(app, "GET", "/v1/models", headers=right)).status == 200


async def test_a_bug_is_logged_once_and_gives_nothing_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answer = await request(raising(RuntimeError("secret /home/me")), "GET", "/v1/x")
    error = json.loads(answer.body)["error"]
    assert answer.status == 500
    assert b"secret" not in answer.body
    assert answer.headers["x-request-id"] in error["message"]
    assert (error["type"], error["param"], error["code"]) == ("server_error", None, None)
    assert answer.headers["x-should-retry"] == "false"
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert answer.headers["x-request-id"] in record.getMessage()
    assert record.exc_info is not None and "secret" in str(record.exc_info[1])


async def test_a_storage_that_cannot_be_used_is_one_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answer = await request(raising(StorageUnavailable("/data is full.")), "GET", "/v1/x")
    assert answer.status == 500 and b"/data" not in answer.body
    (record,) = caplog.records
    assert record.getMessage().endswith("): /data is full.") and record.exc_info is None


async def test_a_model_that_cannot_be_loaded_is_one_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answer = await request(raising(ModelLoadFailed("Put it back.")), "GET", "/v1/x")
    assert answer.status == 500 and b"Put it back." in answer.body
    (record,) = caplog.records
    assert record.getMessage().endswith("): Put it back.") and record.exc_info is None


async def test_storage_details_stay_in_the_log() -> None:
    answer = await request(raising(StorageCorrupt("/data/db is broken")), "GET", "/")
    assert answer.status == 500
    assert b"/data/db" not in answer.body


@pytest.mark.parametrize(
    ("exc", "status", "seconds"),
    [
        (ShuttingDown("Too much to do."), 503, "1"),
        (RateLimited("Slow down.", retry_after_seconds=2.5), 429, "3"),
    ],
)
async def test_what_may_work_later_says_when(
    exc: Exception, status: int, seconds: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await request(raising(exc), "GET", "/")
    assert (answer.status, answer.headers["retry-after"]) == (status, seconds)
    assert "x-should-retry" not in answer.headers
    assert not caplog.records


async def test_after_the_first_byte_an_exception_cuts_the_connection() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("late")

    with pytest.raises(RuntimeError, match="late"):
        await request(RequestContext(ErrorBoundary(app)), "GET", "/")
