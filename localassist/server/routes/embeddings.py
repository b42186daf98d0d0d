"""``/embeddings``."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localassist.schemas.embeddings import EmbeddingCreate
from localassist.server.deps import project_of, read_body, reply, runtime_of


async def create(request: Request) -> Response:
    body = await read_body(request, EmbeddingCreate)
    return reply(request, await runtime_of(request).embeddings.create(project_of(request), body))


ROUTES = [Route("/embeddings", create, methods=["POST"])]
