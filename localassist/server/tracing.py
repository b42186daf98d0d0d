"""A span around every request, which goes on with the caller's trace. For a path nobody serves it
is named by the method alone: callers invent paths without end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from localassist.observability import spans
from localassist.server.metrics import method_of


class RequestSpan:
    """Middleware; inside of what gives the request its id."""

    def __init__(self, app: ASGIApp, paths: Mapping[Any, str]) -> None:
        self._app = app
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not spans.are_wanted():
            await self._app(scope, receive, send)
            return
        parent = Headers(scope=scope).get("traceparent")
        method = method_of(scope)
        with spans.span(method, parent=parent, **{"http.request.method": method}) as span:
            assert span is not None, "spans are wanted"

            async def send_watched(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.note(**{"http.response.status_code": message["status"]})
                await send(message)

            try:
                await self._app(scope, receive, send_watched)
            finally:
                if route := self._paths.get(scope.get("endpoint")):
                    span.rename(f"{method} {route}")
                    span.note(**{"http.route": route})
