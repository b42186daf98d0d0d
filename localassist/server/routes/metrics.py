"""``/metrics``, outside the API: counters for Prometheus."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localassist.server.deps import metrics_of


async def metrics(request: Request) -> Response:
    text, media_type = metrics_of(request).render(request.headers.get("accept", ""))
    return Response(text, headers={"content-type": media_type})


ROUTES = [Route("/metrics", metrics, methods=["GET"])]
