"""``/threads/{thread_id}/messages/{message_id}/files``, of version 1 only."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localassist.schemas.base import ListQuery
from localassist.server.deps import path_id, project_of, reply, runtime_of


async def list_(request: Request) -> Response:
    query = ListQuery.parse(request.query_params)
    files = runtime_of(request).owned_files
    return reply(request, await files.list_of_message(project_of(request), *_ids(request), query))


async def retrieve(request: Request) -> Response:
    file_id = path_id(request, "file_id", "file")
    files = runtime_of(request).owned_files
    file = await files.retrieve_of_message(project_of(request), *_ids(request), file_id)
    return reply(request, file)


def _ids(request: Request) -> tuple[str, str]:
    return path_id(request, "thread_id", "thread"), path_id(request, "message_id", "msg")


_ALL = "/threads/{thread_id}/messages/{message_id}/files"
ROUTES = [
    Route(_ALL, list_, methods=["GET"]),
    Route(_ALL + "/{file_id}", retrieve, methods=["GET"]),
]
