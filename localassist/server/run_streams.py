"""A run's event log as an HTTP response, in the caller's API version."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from starlette.requests import Request
from starlette.responses import Response

from localassist.errors import InvalidRequest
from localassist.runs.events import Batch
from localassist.schemas.events import Payload, RunEvent
from localassist.schemas.run_steps import without_result_content
from localassist.schemas.runs import Run
from localassist.schemas.v1 import to_v1
from localassist.server.deps import check_include, is_v1, project_of, runtime_of, settings_of
from localassist.server.encoding import to_json
from localassist.server.sse import EventStream, record

Render = Callable[[RunEvent], Payload]

_MOST_JOINED = 64  # the log of a long run is not rendered as one block of bytes


def run_stream(
    request: Request, run: Run, *, after_seq: int = -1, is_numbered: bool = False
) -> Response:
    """Everything the run logs behind ``after_seq``, until it ends or waits for the caller, with
    what file searches have found if the request includes it.

    With ``is_numbered`` each record has its position as ``id:``, for attaching again.
    """
    log = runtime_of(request).runs.event_batches(
        project_of(request), run.thread_id, run.id, after_seq=after_seq
    )
    events = _records(log, _renderer(request), is_numbered=is_numbered)
    keepalive = settings_of(request).keepalive_seconds
    return EventStream(events, is_named=True, keepalive_seconds=keepalive)


def start_position(request: Request) -> int:
    """Where an attached stream goes on: ``Last-Event-ID``, else ``starting_after``, else -1."""
    param = "starting_after"
    text = request.headers.get("last-event-id") or request.query_params.get(param, "-1")
    if not (text == "-1" or (text.isascii() and text.isdigit() and len(text) < 16)):
        raise InvalidRequest(
            f"Invalid '{param}': expected the id of an event, a non-negative integer.",
            param=param,
            code="invalid_value",
        )
    return int(text)


async def _records(
    log: AsyncGenerator[Batch, None], render: Render, *, is_numbered: bool
) -> AsyncGenerator[bytes, None]:
    """The log's events as records, joined where they come together."""
    async with aclosing(log):
        async for events in log:
            for start in range(0, len(events), _MOST_JOINED):
                yield b"".join(
                    record(to_json(render(event)), event.name, event.seq if is_numbered else None)
                    for event in events[start : start + _MOST_JOINED]
                )


def _renderer(request: Request) -> Render:
    """An event's data as this caller wants it."""
    wants_v1, has_content = is_v1(request), check_include(request)

    def render(event: RunEvent) -> Payload:
        data = event.data if has_content else without_result_content(event.data)
        return to_v1(data) if wants_v1 else data

    return render
