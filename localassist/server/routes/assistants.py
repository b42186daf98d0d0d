"""``/assistants``."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localassist.schemas.assistants import AssistantCreate, AssistantUpdate
from localassist.schemas.base import ListQuery
from localassist.server.deps import path_id, project_of, read_body, reply, runtime_of


async def create(request: Request) -> Response:
    body = await read_body(request, AssistantCreate)
    return reply(request, await runtime_of(request).assistants.create(project_of(request), body))


async def list_(request: Request) -> Response:
    query = ListQuery.parse(request.query_params)
    return reply(request, await runtime_of(request).assistants.list(project_of(request), query))


async def retrieve(request: Request) -> Response:
    assistant_id = path_id(request, "assistant_id", "asst")
    assistants = runtime_of(request).assistants
    return reply(request, await assistants.retrieve(project_of(request), assistant_id))


async def update(request: Request) -> Response:
    assistant_id = path_id(request, "assistant_id", "asst")
    body = await read_body(request, AssistantUpdate)
    assistants = runtime_of(request).assistants
    return reply(request, await assistants.update(project_of(request), assistant_id, body))


async def delete(request: Request) -> Response:
    assistant_id = path_id(request, "assistant_id", "asst")
    assistants = runtime_of(request).assistants
    return reply(request, await assistants.delete(project_of(request), assistant_id))


ROUTES = [
    Route("/assistants", create, methods=["POST"]),
    Route("/assistants", list_, methods=["GET"]),
    Route("/assistants/{assistant_id}", retrieve, methods=["GET"]),
    Route("/assistants/{assistant_id}", update, methods=["POST"]),
    Route("/assistants/{assistant_id}", delete, methods=["DELETE"]),
]
