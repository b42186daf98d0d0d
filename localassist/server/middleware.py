"""What happens around every request, as plain ASGI wrappers.

From the outside in: request context (id and timing headers), CORS when configured, the error
boundary, authentication, body limits. None of them looks into a body or knows a resource.
"""

from __future__ import annotations

import logging

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from localassist import clock
from localassist.errors import PayloadTooLarge
from localassist.ids import new_id
from localassist.observability import logs
from localassist.server.auth import Gate
from localassist.server.config import ServerSettings
from localassist.server.errors import error_response

_log = logging.getLogger(logs.REQUESTS)
_API_VERSION = "2020-10-01"
_GUARDED = ("/v1", "/metrics")


class RequestContext:
    """Gives each request an id, which every response and every line of the log about it carries."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = new_id("request")
        scope.setdefault("state", {})["request_id"] = request_id
        started = clock.monotonic()
        status = 499  # the client has gone before there was one

        def elapsed_ms() -> int:
            return round((clock.monotonic() - started) * 1000)

        async def send_stamped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                headers["openai-version"] = _API_VERSION
                headers["openai-processing-ms"] = str(elapsed_ms())
            await send(message)

        with logs.bound(request_id=request_id):
            try:
                await self._app(scope, receive, send_stamped)
            finally:
                _log_request(scope, status, elapsed_ms())


def _log_request(scope: Scope, status: int, ms: int) -> None:
    # Without the query, which may hold what somebody searched for.
    said = f"{scope['method']} {scope['path']}"
    _log.info(said, extra=logs.fields(status=status, ms=ms))


class ErrorBoundary:
    """Turns whatever escapes into the error envelope, so that no framework page ever shows.

    Once a response has begun nothing can be said any more: the exception goes on to the server,
    which cuts the connection. A client that has gone away is told nothing.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_started = False

        async def send_watched(message: Message) -> None:
            nonlocal is_started
            is_started = True
            await send(message)

        try:
            await self._app(scope, receive, send_watched)
        except ClientDisconnect:
            return
        except Exception as exc:
            if is_started:
                raise
            await error_response(exc, scope)(scope, receive, send)


class Authentication:
    """Asks for an API key under ``/v1`` and for the metrics, and notes whose objects the caller may
    see; the health check stays open."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(_GUARDED):
            authorization = Headers(scope=scope).get("authorization")
            project = await self._gate.project_for(authorization)
            scope.setdefault("state", {})["project"] = project
        await self._app(scope, receive, send)


class BodyLimit:
    """Refuses bodies above the limit, by their declared length or as soon as they exceed it.

    Multipart bodies go to disk while they arrive and have a limit of their own.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        is_upload = headers.get("content-type", "").lower().startswith("multipart/")
        limit = self._settings.max_upload_bytes if is_upload else self._settings.max_body_bytes
        declared = headers.get("content-length", "")
        _check(int(declared) if declared.isdecimal() else 0, limit)
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            _check(received, limit)
            return message

        await self._app(scope, receive_counted, send)


def _check(size_bytes: int, limit_bytes: int) -> None:
    if size_bytes > limit_bytes:
        raise PayloadTooLarge(
            f"Maximum content size limit ({limit_bytes}) exceeded ({size_bytes} bytes read)"
        )
