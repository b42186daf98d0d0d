"""``/threads/{thread_id}/runs/{run_id}/steps``."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localassist.schemas.base import ListQuery, WireModel
from localassist.schemas.run_steps import without_result_content
from localassist.server.deps import (
    check_include,
    path_id,
    project_of,
    reply_json,
    runtime_of,
)


async def list_(request: Request) -> Response:
    thread_id, run_id = _ids(request)
    has_content = check_include(request)
    query = ListQuery.parse(request.query_params)
    runs = runtime_of(request).runs
    page = await runs.list_steps(project_of(request), thread_id, run_id, query)
    return _reply(request, page, has_content)


async def retrieve(request: Request) -> Response:
    thread_id, run_id = _ids(request)
    step_id = path_id(request, "step_id", "step")
    has_content = check_include(request)
    runs = runtime_of(request).runs
    step = await runs.retrieve_step(project_of(request), thread_id, run_id, step_id)
    return _reply(request, step, has_content)


def _reply(request: Request, result: WireModel, has_content: bool) -> Response:
    """What file searches have found is told in full only to those who ask."""
    payload = result.dump()
    return reply_json(request, payload if has_content else without_result_content(payload))


def _ids(request: Request) -> tuple[str, str]:
    return path_id(request, "thread_id", "thread"), path_id(request, "run_id", "run")


ROUTES = [
    Route("/threads/{thread_id}/runs/{run_id}/steps", list_, methods=["GET"]),
    Route("/threads/{thread_id}/runs/{run_id}/steps/{step_id}", retrieve, methods=["GET"]),
]
