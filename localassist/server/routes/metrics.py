"""``/metrics``, outside the API: counters for Prometheus."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localassist.errors import StorageError
from localassist.server.deps import metrics_of, runtime_of


async def metrics(request: Request) -> Response:
    found = metrics_of(request)
    try:
        found.queued_runs = await runtime_of(request).runs.waiting()
    except StorageError:
        found.queued_runs = None  # the other numbers say why, if any do
    text, media_type = found.render(request.headers.get("accept", ""))
    return Response(text, headers={"content-type": media_type})


ROUTES = [Route("/metrics", metrics, methods=["GET"])]
