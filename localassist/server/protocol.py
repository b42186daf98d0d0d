"""HTTP/1.1 on one connection: uvicorn's protocol with limits on a request's head and time.

uvicorn reads heads of any size, and heads and bodies for any length of time, and answers what is no
HTTP with plain text. Here a head has a size and a time, a body a time, and every refusal is an
error of the API. How large a body may be is seen to in ``middleware``.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from localassist.ids import new_id
from localassist.schemas.errors import ErrorBody, ErrorEnvelope
from localassist.server.encoding import to_json

MAX_HEAD_BYTES = 64 * 2**10
HEAD_SECONDS = 30.0
_MEGABYTE = 2**20

_TOO_LARGE = f"The request's line and headers are longer than {MAX_HEAD_BYTES} bytes."
_TOO_SLOW = f"The request's headers did not arrive within {HEAD_SECONDS:g} seconds."


class HttpProtocol(HttpToolsProtocol):
    """One connection of a client. A body may take ``body_seconds``, and as long again for every
    MiB of it that has arrived."""

    body_seconds = 60.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes: int | None = None  # of the head that is arriving
        self._head_timer: asyncio.TimerHandle | None = None
        self._is_too_large = False
        self._body_bytes = 0
        self._body_began = 0.0
        self._body_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_body_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # Only what belongs to no finished head is counted: bodies come in the same pieces.
        if self._head_bytes is not None and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0
        if self._head_timer is None:
            self._expect_head()

    def on_headers_complete(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > MAX_HEAD_BYTES:
            self._is_too_large = True
            raise ValueError(_TOO_LARGE)  # stops the parser, which has the connection refused
        self._head_bytes = None
        self._stop_timer()
        self._body_bytes, self._body_began = 0, self.loop.time()
        self._body_timer = self.loop.call_later(self.body_seconds, self._judge_body)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._stop_body_timer()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser could not or must not read on with."""
        if self._is_too_large:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _TOO_LARGE)
        else:
            self._refuse(HTTPStatus.BAD_REQUEST, msg)

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_body_timer(self) -> None:
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None

    def _judge_body(self) -> None:
        """The time is up, unless more has arrived than there was at the last look."""
        seconds = self.body_seconds * (1 + self._body_bytes // _MEGABYTE)
        rest = self._body_began + seconds - self.loop.time()
        if rest > 0:
            self._body_timer = self.loop.call_later(rest, self._judge_body)
        elif self.cycle.response_started:
            self.transport.close()  # it was answered without being read
        else:
            said = f"{self._body_bytes} bytes of the request's body in {seconds:g} seconds"
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"Only {said} arrived, which is too slow.")

    def _give_up(self) -> None:
        if self._head_bytes is None:
            self.transport.close()  # nothing was asked
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, _TOO_SLOW)

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        if self.transport.is_closing():
            return
        if self._is_silent():
            error = ErrorBody(message=message, type="invalid_request_error")
            body = to_json(ErrorEnvelope(error=error).dump()).encode()
            self.transport.write(
                STATUS_LINE[status]
                + b"content-type: application/json\r\n"
                + f"content-length: {len(body)}\r\n".encode()
                + f"x-request-id: {new_id('request')}\r\n".encode()
                + b"connection: close\r\n\r\n"
                + body
            )
        self.transport.close()

    def _is_silent(self) -> bool:
        """Whether no answer is under way, with which another one would be mixed."""
        cycle: RequestResponseCycle | None = self.cycle  # None until the first request
        if cycle is None or cycle.response_complete:
            return True
        if cycle.response_started or self.pipeline:
            return False
        cycle.disconnected = True  # it says nothing any more
        return True


def with_body_seconds(seconds: float) -> type[HttpProtocol]:
    """The protocol with this limit; uvicorn wants a class."""
    return type("HttpProtocol", (HttpProtocol,), {"body_seconds": seconds})
