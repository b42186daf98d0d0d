"""HTTP to one model server, and what its refusals mean to whoever waits for an answer.

Plain requests block and belong on worker threads; streams are asynchronous. The environment's
proxies and stored passwords are not used: requests go to the given address and nowhere else.
Knows no server's paths or fields; ``dialect`` does.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx

from localassist.errors import (
    CapacityError,
    ContextLengthExceeded,
    GenerationFailed,
    LocalAssistError,
)
from localassist.offline import allow

_CONNECT_SECONDS = 5.0
_LONGEST_LINE_BYTES = 2**24
_REASON_CHARACTERS = 300
_TOO_LONG = re.compile(r"context (size|length|window)|maximum (context|model) len|max_model_len")


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a server listens and how to speak to it.

    ``url`` has no path of the API (no ``/v1``). ``model`` None takes what the server serves.
    ``silence_seconds`` is how long it may say nothing, a long prompt included.
    """

    url: str
    model: str | None = None
    api_key: str | None = field(default=None, repr=False)
    api_key_env: str | None = None
    silence_seconds: float = 300.0


class RequestRefused(GenerationFailed):
    """The server read the request and will not carry it out: a value or grammar it cannot take."""


class Wire:
    """Requests to one server. Raises GenerationFailed, ContextLengthExceeded and CapacityError.

    ``is_cut`` turns True when the server could not be reached or broke off: it may have been
    restarted with another model, so what is known of it has to be asked again.
    """

    def __init__(self, address: ServerAddress) -> None:
        self.address = address
        self.is_cut = False
        key = address.api_key
        timeout = httpx.Timeout(address.silence_seconds, connect=_CONNECT_SECONDS)
        self._options: dict[str, Any] = {
            "base_url": address.url,
            "headers": {} if key is None else {"Authorization": f"Bearer {key}"},
            "timeout": timeout,
            "trust_env": False,
            # Only built where it is needed: reading the certificates takes a while.
            "verify": _certificates() if address.url.startswith("https:") else False,
        }
        allow(address.url)
        self._client = httpx.Client(**self._options)

    def get(self, path: str) -> Any:
        """The JSON value at ``path``. Blocks."""
        with self._translated():
            return self._value(self._client.get(path))

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON answer to ``body``. Blocks."""
        with self._translated():
            return self._value(self._client.post(path, **_json(body)))

    async def fetch(self, path: str) -> Any:
        """``get`` without blocking."""
        with self._translated():
            async with httpx.AsyncClient(**self._options) as client:
                return self._value(await client.get(path))

    async def post_each(self, path: str, bodies: Sequence[Mapping[str, Any]]) -> list[Any]:
        """The answers to requests made one after the other over one connection."""
        with self._translated():
            # A client of its own: connections belong to one event loop, and readers to many.
            async with httpx.AsyncClient(**self._options) as client:
                return [self._value(await client.post(path, **_json(body))) for body in bodies]

    async def stream(
        self, path: str, body: Mapping[str, Any]
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The events of a streamed answer. Closing the iterator closes the connection, by which
        servers notice that nobody reads any more."""
        with self._translated():
            async with (
                httpx.AsyncClient(**self._options) as client,
                client.stream("POST", path, **_json(body)) as response,
            ):
                if response.status_code != 200:
                    await response.aread()
                    raise self._refusal(response)
                if not response.headers.get("content-type", "").startswith("text/event-stream"):
                    raise self._garbage("no stream of events")
                async for line in _lines(response.aiter_bytes()):
                    if line is None:
                        raise self._garbage("a line without end")
                    event = self._event(line)
                    if event is not None:
                        yield event

    def close(self) -> None:
        self._client.close()

    def _event(self, line: bytes) -> dict[str, Any] | None:
        """What one line of the stream says; None for what carries no data."""
        name, _, data = line.partition(b":")
        data = data.strip()
        if name not in (b"data", b"error") or data in (b"", b"[DONE]"):
            return None
        event = self._parsed(data)
        if not isinstance(event, dict):
            raise self._garbage("an event that is no object")
        if name == b"error" or event.get("error") is not None:
            raise self._explained(_code(event), _reason(event))
        return event

    def _value(self, response: httpx.Response) -> Any:
        if response.status_code != 200:
            raise self._refusal(response)
        return self._parsed(response.content)

    def _parsed(self, data: bytes) -> Any:
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            raise self._garbage("no JSON") from None

    def _refusal(self, response: httpx.Response) -> LocalAssistError:
        try:
            reason = _reason(json.loads(response.content))
        except (ValueError, RecursionError):
            reason = ""
        return self._explained(response.status_code, reason)

    def _explained(self, status: int, reason: str) -> LocalAssistError:
        where = f"The model server at {self.address.url}"
        said = f": {reason}" if reason else ""
        if status in (401, 403):
            return GenerationFailed(f"{where} refuses the API key. {self._key_advice()}")
        if status == 404:
            return GenerationFailed(
                f"{where} does not know the model or the endpoint (HTTP 404{said}). "
                "Check its address and the model's name."
            )
        if status in (400, 413, 422) and _TOO_LONG.search(reason.lower()):
            return ContextLengthExceeded(
                f"The conversation is too long for the model server{said}. "
                "Please reduce the length of the messages.",
                param="messages",
            )
        if status in (429, 503):
            return CapacityError(
                f"{where} is busy or still loading (HTTP {status}{said}). Try again later.",
                retry_after_seconds=1.0,
            )
        if status in (400, 413, 422, 501):
            return RequestRefused(f"{where} refuses the request (HTTP {status}{said}).")
        if 300 <= status < 400:
            return GenerationFailed(
                f"{where} redirects to another address; give the one where it really is."
            )
        return GenerationFailed(f"{where} failed (HTTP {status}{said}). Its log says why.")

    def _key_advice(self) -> str:
        name = self.address.api_key_env
        if name is None:
            return "Name the variable that holds the key: models add-server --api-key-env NAME."
        return f"Set the environment variable {name} to a key that it accepts."

    def _garbage(self, what: str) -> GenerationFailed:
        return GenerationFailed(
            f"The model server at {self.address.url} sent {what} where an answer was expected. "
            "Is another program listening there?"
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """The library's errors as ours."""
        where = f"The model server at {self.address.url}"
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            self.is_cut = True
            raise GenerationFailed(
                f"{where} does not answer. Start it, or correct its address."
            ) from error
        except httpx.TimeoutException as error:
            raise GenerationFailed(
                f"{where} said nothing for {self.address.silence_seconds:g} seconds. If it needs "
                "longer for long prompts, raise silence_seconds in the model's manifest."
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            self.is_cut = True
            raise GenerationFailed(f"{where} broke off the connection.") from error


@cache
def _certificates() -> ssl.SSLContext:
    return ssl.create_default_context()


def _json(body: Mapping[str, Any]) -> dict[str, Any]:
    # Escaped to ASCII: a lone surrogate in a text is no reason to fail here.
    content = json.dumps(body).encode("ascii")
    return {"content": content, "headers": {"Content-Type": "application/json"}}


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes | None, None]:
    """Lines ended by a line feed only, since JSON may hold the other characters that end lines;
    None for one that is too long. What follows the last line feed is incomplete and left out."""
    held = bytearray()
    async for chunk in chunks:
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            yield bytes(held + line).rstrip(b"\r")
            held.clear()
        held += rest
        if len(held) > _LONGEST_LINE_BYTES:
            yield None


def _code(event: Mapping[str, Any]) -> int:
    error = event.get("error")
    code = error.get("code") if isinstance(error, dict) else event.get("code")
    return code if isinstance(code, int) else 500


def _reason(body: Any) -> str:
    """The server's own words, wherever it puts them, on one line."""
    for key in ("error", "message", "detail"):
        if isinstance(body, dict) and key in body:
            body = body[key]
    text = body if isinstance(body, str) else "" if isinstance(body, dict) else str(body)
    return " ".join(text.split())[:_REASON_CHARACTERS]
