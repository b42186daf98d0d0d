"""``/tools/explain``: ours, the hosted API has no such endpoint."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localassist.schemas.tool_explanations import ToolsExplain
from localassist.server.deps import project_of, read_body, reply, runtime_of, unless_left


async def explain(request: Request) -> Response:
    body = await read_body(request, ToolsExplain)
    explaining = runtime_of(request).explain.explain(project_of(request), body)
    return reply(request, await unless_left(request, explaining))


ROUTES = [Route("/tools/explain", explain, methods=["POST"])]
