"""``/assistants/{assistant_id}/files``, of version 1 only."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localassist.schemas.base import ListQuery
from localassist.schemas.v1_files import AssistantFileCreate
from localassist.server.deps import path_id, project_of, read_body, reply, runtime_of


async def add(request: Request) -> Response:
    assistant_id = path_id(request, "assistant_id", "asst")
    body = await read_body(request, AssistantFileCreate)
    files = runtime_of(request).owned_files
    return reply(request, await files.add(project_of(request), assistant_id, body))


async def list_(request: Request) -> Response:
    assistant_id = path_id(request, "assistant_id", "asst")
    query = ListQuery.parse(request.query_params)
    files = runtime_of(request).owned_files
    page = await files.list_of_assistant(project_of(request), assistant_id, query)
    return reply(request, page)


async def retrieve(request: Request) -> Response:
    files = runtime_of(request).owned_files
    return reply(request, await files.retrieve_of_assistant(project_of(request), *_ids(request)))


async def remove(request: Request) -> Response:
    files = runtime_of(request).owned_files
    return reply(request, await files.remove(project_of(request), *_ids(request)))


def _ids(request: Request) -> tuple[str, str]:
    return path_id(request, "assistant_id", "asst"), path_id(request, "file_id", "file")


_ALL = "/assistants/{assistant_id}/files"
ROUTES = [
    Route(_ALL, add, methods=["POST"]),
    Route(_ALL, list_, methods=["GET"]),
    Route(_ALL + "/{file_id}", retrieve, methods=["GET"]),
    Route(_ALL + "/{file_id}", remove, methods=["DELETE"]),
]
