"""``/threads``."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localassist.schemas.base import ListQuery
from localassist.schemas.threads import ThreadCreate, ThreadUpdate
from localassist.server.deps import path_id, project_of, read_body, reply, runtime_of


async def create(request: Request) -> Response:
    body = await read_body(request, ThreadCreate)
    return reply(request, await runtime_of(request).threads.create(project_of(request), body))


async def list_(request: Request) -> Response:
    query = ListQuery.parse(request.query_params)
    return reply(request, await runtime_of(request).threads.list(project_of(request), query))


async def retrieve(request: Request) -> Response:
    thread_id = path_id(request, "thread_id", "thread")
    threads = runtime_of(request).threads
    return reply(request, await threads.retrieve(project_of(request), thread_id))


async def update(request: Request) -> Response:
    thread_id = path_id(request, "thread_id", "thread")
    body = await read_body(request, ThreadUpdate)
    threads = runtime_of(request).threads
    return reply(request, await threads.update(project_of(request), thread_id, body))


async def delete(request: Request) -> Response:
    thread_id = path_id(request, "thread_id", "thread")
    threads = runtime_of(request).threads
    return reply(request, await threads.delete(project_of(request), thread_id))


ROUTES = [
    Route("/threads", create, methods=["POST"]),
    Route("/threads", list_, methods=["GET"]),
    Route("/threads/{thread_id}", retrieve, methods=["GET"]),
    Route("/threads/{thread_id}", update, methods=["POST"]),
    Route("/threads/{thread_id}", delete, methods=["DELETE"]),
]
