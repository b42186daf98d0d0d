"""What every endpoint needs: the runtime, the caller's project, parsed input, a rendered answer.

The one place that knows both Starlette's requests and the wire types.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar, cast

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive

from localassist.schemas.base import Body, WireModel, check_id
from localassist.schemas.errors import parse_body
from localassist.schemas.run_steps import parse_include
from localassist.schemas.v1 import to_v1
from localassist.server.config import ServerSettings
from localassist.server.encoding import to_json

if TYPE_CHECKING:
    from localassist.runtime import Runtime
    from localassist.server.auth import Gate
    from localassist.server.metrics import Metrics

BodyT = TypeVar("BodyT", bound=Body)
T = TypeVar("T")


def runtime_of(request: Request) -> Runtime:
    return cast("Runtime", request.app.state.runtime)


def settings_of(request: Request) -> ServerSettings:
    return cast(ServerSettings, request.app.state.settings)


def gate_of(request: Request) -> Gate:
    return cast("Gate", request.app.state.gate)


def metrics_of(request: Request) -> Metrics:
    return cast("Metrics", request.app.state.metrics)


def project_of(request: Request) -> str:
    """The owner of everything this caller makes and may see."""
    return cast(str, request.state.project)


async def read_body(request: Request, model: type[BodyT]) -> BodyT:
    """The JSON body, checked; an empty one counts as ``{}``. The content type is not looked at:
    clients send it wrong, and send it with bodies that are empty."""
    return parse_body(model, await request.body())


async def unless_left(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``; when the client goes away first, it is cancelled and ClientDisconnect
    is raised. The request's body must have been read."""
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(wait_for_disconnect(request.receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def wait_for_disconnect(receive: Receive) -> None:
    """Until the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass


def path_id(request: Request, name: str, prefix: str) -> str:
    """An id from the path; one of another kind is malformed, not missing."""
    return check_id(request.path_params[name], prefix, name)


def query_id(request: Request, name: str, prefix: str) -> str | None:
    """An optional id from the query string."""
    value = request.query_params.get(name)
    return None if value is None else check_id(value, prefix, name)


def check_include(request: Request) -> bool:
    """Whether file search results shall carry their content; unknown wishes are refused."""
    params = request.query_params
    return parse_include(params.getlist("include[]") + params.getlist("include"))


def is_v1(request: Request) -> bool:
    """Whether the caller wants version 1 of the Assistants API."""
    return "assistants=v1" in request.headers.get("openai-beta", "")


def reply(request: Request, result: WireModel, *, is_polled: bool = False) -> Response:
    """The answer in the caller's version. A polled object says when to look again."""
    if is_v1(request):
        return reply_json(request, result.dump(), is_polled=is_polled)
    return _answer(request, result.model_dump_json(), is_polled=is_polled)


def reply_json(request: Request, payload: dict[str, Any], *, is_polled: bool = False) -> Response:
    """The same for an object that is dumped already."""
    text = to_json(to_v1(payload) if is_v1(request) else payload)
    return _answer(request, text, is_polled=is_polled)


def _answer(request: Request, text: str, *, is_polled: bool) -> Response:
    poll_after = str(settings_of(request).poll_after_ms)
    headers = {"openai-poll-after-ms": poll_after} if is_polled else None
    return Response(text, media_type="application/json", headers=headers)
