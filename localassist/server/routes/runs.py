"""``/threads/{thread_id}/runs`` and ``/threads/runs``, streamed or not.

One path is ours: ``GET .../runs/{run_id}/stream`` attaches again to a run whose stream was lost.
Its records carry ``id:`` lines, and it goes on behind ``Last-Event-ID`` or ``starting_after``.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localassist.schemas.base import ListQuery
from localassist.schemas.runs import (
    RunCreate,
    RunUpdate,
    SubmitToolOutputs,
    ThreadAndRunCreate,
)
from localassist.server.deps import check_include, path_id, project_of, read_body, reply, runtime_of
from localassist.server.run_streams import run_stream, start_position


async def create(request: Request) -> Response:
    thread_id = path_id(request, "thread_id", "thread")
    check_include(request)  # before the run is stored
    body = await read_body(request, RunCreate)
    run = await runtime_of(request).runs.create(project_of(request), thread_id, body)
    return run_stream(request, run) if body.stream else reply(request, run)


async def create_with_thread(request: Request) -> Response:
    check_include(request)
    body = await read_body(request, ThreadAndRunCreate)
    run = await runtime_of(request).runs.create_with_thread(project_of(request), body)
    return run_stream(request, run) if body.stream else reply(request, run)


async def list_(request: Request) -> Response:
    thread_id = path_id(request, "thread_id", "thread")
    query = ListQuery.parse(request.query_params)
    runs = runtime_of(request).runs
    return reply(request, await runs.list(project_of(request), thread_id, query))


async def retrieve(request: Request) -> Response:
    runs = runtime_of(request).runs
    run = await runs.retrieve(project_of(request), *_ids(request))
    return reply(request, run, is_polled=True)


async def update(request: Request) -> Response:
    ids = _ids(request)
    body = await read_body(request, RunUpdate)
    return reply(request, await runtime_of(request).runs.update(project_of(request), *ids, body))


async def cancel(request: Request) -> Response:
    runs = runtime_of(request).runs
    return reply(request, await runs.cancel(project_of(request), *_ids(request)))


async def submit_tool_outputs(request: Request) -> Response:
    ids = _ids(request)
    check_include(request)
    body = await read_body(request, SubmitToolOutputs)
    runs = runtime_of(request).runs
    submitted = await runs.submit_tool_outputs(project_of(request), *ids, body)
    if body.stream:
        return run_stream(request, submitted.run, after_seq=submitted.after_seq)
    return reply(request, submitted.run)


async def attach(request: Request) -> Response:
    runs = runtime_of(request).runs
    run = await runs.retrieve(project_of(request), *_ids(request))
    return run_stream(request, run, after_seq=start_position(request), is_numbered=True)


def _ids(request: Request) -> tuple[str, str]:
    return path_id(request, "thread_id", "thread"), path_id(request, "run_id", "run")


_RUNS = "/threads/{thread_id}/runs"
ROUTES = [
    # Before the threads' own routes, where "runs" would be taken for a thread id.
    Route("/threads/runs", create_with_thread, methods=["POST"]),
    Route(_RUNS, create, methods=["POST"]),
    Route(_RUNS, list_, methods=["GET"]),
    Route(_RUNS + "/{run_id}", retrieve, methods=["GET"]),
    Route(_RUNS + "/{run_id}", update, methods=["POST"]),
    Route(_RUNS + "/{run_id}/cancel", cancel, methods=["POST"]),
    Route(_RUNS + "/{run_id}/submit_tool_outputs", submit_tool_outputs, methods=["POST"]),
    Route(_RUNS + "/{run_id}/stream", attach, methods=["GET"]),
]
