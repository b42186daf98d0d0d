"""``/files``: multipart in, raw bytes out, neither ever whole in memory."""

from __future__ import annotations

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from localassist.schemas.base import ListQuery, check_text
from localassist.server.deps import path_id, project_of, reply, runtime_of
from localassist.server.uploads import read_upload

_MAX_LIMIT = 10_000


async def create(request: Request) -> Response:
    async with read_upload(request) as upload:
        file = await runtime_of(request).files.create(
            project_of(request),
            filename=upload.filename,
            purpose=upload.purpose,
            chunks=upload.chunks(),
            expires_after_seconds=upload.expires_after_seconds,
        )
    return reply(request, file)


async def list_(request: Request) -> Response:
    params = request.query_params
    query = ListQuery.parse(params, max_limit=_MAX_LIMIT, default_limit=_MAX_LIMIT)
    files = runtime_of(request).files
    purpose = params.get("purpose")
    if purpose is not None:
        check_text(purpose, "purpose")
    page = await files.list(project_of(request), query, purpose=purpose)
    return reply(request, page)


async def retrieve(request: Request) -> Response:
    file_id = path_id(request, "file_id", "file")
    return reply(request, await runtime_of(request).files.retrieve(project_of(request), file_id))


async def delete(request: Request) -> Response:
    file_id = path_id(request, "file_id", "file")
    return reply(request, await runtime_of(request).files.delete(project_of(request), file_id))


async def content(request: Request) -> Response:
    file_id = path_id(request, "file_id", "file")
    file, chunks = await runtime_of(request).files.open(project_of(request), file_id)
    headers = {
        "content-length": str(file.bytes),
        "content-disposition": f"attachment; filename*=utf-8''{quote(file.filename, safe='')}",
        # Uploaded pages must not run as part of this origin.
        "x-content-type-options": "nosniff",
    }
    return StreamingResponse(chunks, media_type="application/octet-stream", headers=headers)


ROUTES = [
    Route("/files", create, methods=["POST"]),
    Route("/files", list_, methods=["GET"]),
    Route("/files/{file_id}", retrieve, methods=["GET"]),
    Route("/files/{file_id}", delete, methods=["DELETE"]),
    Route("/files/{file_id}/content", content, methods=["GET"]),
]
