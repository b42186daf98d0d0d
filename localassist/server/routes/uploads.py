"""``/uploads``: a large file in parts."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localassist.schemas.uploads import UploadComplete, UploadCreate
from localassist.server.deps import path_id, project_of, read_body, reply, runtime_of
from localassist.server.uploads import read_part


async def create(request: Request) -> Response:
    body = await read_body(request, UploadCreate)
    return reply(request, await runtime_of(request).uploads.create(project_of(request), body))


async def add_part(request: Request) -> Response:
    upload_id = path_id(request, "upload_id", "upload")
    async with read_part(request) as chunks:
        uploads = runtime_of(request).uploads
        return reply(request, await uploads.add_part(project_of(request), upload_id, chunks))


async def complete(request: Request) -> Response:
    upload_id = path_id(request, "upload_id", "upload")
    body = await read_body(request, UploadComplete)
    uploads = runtime_of(request).uploads
    return reply(request, await uploads.complete(project_of(request), upload_id, body))


async def cancel(request: Request) -> Response:
    upload_id = path_id(request, "upload_id", "upload")
    return reply(request, await runtime_of(request).uploads.cancel(project_of(request), upload_id))


_ONE = "/uploads/{upload_id}"
ROUTES = [
    Route("/uploads", create, methods=["POST"]),
    Route(_ONE + "/parts", add_part, methods=["POST"]),
    Route(_ONE + "/complete", complete, methods=["POST"]),
    Route(_ONE + "/cancel", cancel, methods=["POST"]),
]
