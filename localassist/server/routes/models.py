"""``/models``. Names may contain ``/`` and ``:``."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localassist.errors import PermissionDenied
from localassist.server.deps import reply, runtime_of


async def list_(request: Request) -> Response:
    return reply(request, await runtime_of(request).models.list())


async def retrieve(request: Request) -> Response:
    return reply(request, await runtime_of(request).models.retrieve(request.path_params["model"]))


async def delete(request: Request) -> Response:
    raise PermissionDenied(
        "Models cannot be deleted over the API. Run `localassist models remove` on the server.",
        param="model",
    )


ROUTES = [
    Route("/models", list_, methods=["GET"]),
    Route("/models/{model:path}", retrieve, methods=["GET"]),
    Route("/models/{model:path}", delete, methods=["DELETE"]),
]
