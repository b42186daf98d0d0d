"""``/threads/{thread_id}/runs/{run_id}/steps``."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localassist.schemas.base import ListQuery
from localassist.server.deps import check_include, path_id, project_of, reply, runtime_of


async def list_(request: Request) -> Response:
    thread_id, run_id = _ids(request)
    check_include(request)
    query = ListQuery.parse(request.query_params)
    runs = runtime_of(request).runs
    return reply(request, await runs.list_steps(project_of(request), thread_id, run_id, query))


async def retrieve(request: Request) -> Response:
    thread_id, run_id = _ids(request)
    step_id = path_id(request, "step_id", "step")
    check_include(request)
    runs = runtime_of(request).runs
    step = await runs.retrieve_step(project_of(request), thread_id, run_id, step_id)
    return reply(request, step)


def _ids(request: Request) -> tuple[str, str]:
    return path_id(request, "thread_id", "thread"), path_id(request, "run_id", "run")


ROUTES = [
    Route("/threads/{thread_id}/runs/{run_id}/steps", list_, methods=["GET"]),
    Route("/threads/{thread_id}/runs/{run_id}/steps/{step_id}", retrieve, methods=["GET"]),
]
