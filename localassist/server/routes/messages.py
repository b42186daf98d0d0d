"""``/threads/{thread_id}/messages``."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localassist.schemas.base import ListQuery
from localassist.schemas.messages import MessageCreate, MessageUpdate
from localassist.server.deps import path_id, project_of, query_id, read_body, reply, runtime_of


async def create(request: Request) -> Response:
    thread_id = path_id(request, "thread_id", "thread")
    body = await read_body(request, MessageCreate)
    messages = runtime_of(request).messages
    return reply(request, await messages.create(project_of(request), thread_id, body))


async def list_(request: Request) -> Response:
    thread_id = path_id(request, "thread_id", "thread")
    query = ListQuery.parse(request.query_params)
    run_id = query_id(request, "run_id", "run")
    messages = runtime_of(request).messages
    page = await messages.list(project_of(request), thread_id, query, run_id=run_id)
    return reply(request, page)


async def retrieve(request: Request) -> Response:
    thread_id, message_id = _ids(request)
    messages = runtime_of(request).messages
    return reply(request, await messages.retrieve(project_of(request), thread_id, message_id))


async def update(request: Request) -> Response:
    thread_id, message_id = _ids(request)
    body = await read_body(request, MessageUpdate)
    messages = runtime_of(request).messages
    return reply(request, await messages.update(project_of(request), thread_id, message_id, body))


async def delete(request: Request) -> Response:
    thread_id, message_id = _ids(request)
    messages = runtime_of(request).messages
    return reply(request, await messages.delete(project_of(request), thread_id, message_id))


def _ids(request: Request) -> tuple[str, str]:
    return path_id(request, "thread_id", "thread"), path_id(request, "message_id", "msg")


_ONE = "/threads/{thread_id}/messages/{message_id}"
ROUTES = [
    Route("/threads/{thread_id}/messages", create, methods=["POST"]),
    Route("/threads/{thread_id}/messages", list_, methods=["GET"]),
    Route(_ONE, retrieve, methods=["GET"]),
    Route(_ONE, update, methods=["POST"]),
    Route(_ONE, delete, methods=["DELETE"]),
]
