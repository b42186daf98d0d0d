"""Runs as callers use them: create, look, cancel, answer tool calls, follow the events.

Creating a run returns at once; the executor does the work. A run that is created to be streamed is
created like any other: the stream is a reader of its log.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from localassist import clock
from localassist.errors import InvalidRequest, RateLimited
from localassist.observability import spans, timeline
from localassist.runs.config import RunSettings
from localassist.runs.events import Batch, EventLog, flat
from localassist.runs.executor import Executor
from localassist.runs.offer import check_choice
from localassist.runs.searching import stores_of
from localassist.runs.writer import RunWriter, Submitted, submission
from localassist.schemas import events as wire
from localassist.schemas.assistants import Assistant
from localassist.schemas.base import ListQuery, Page
from localassist.schemas.events import RunEvent
from localassist.schemas.run_steps import RunStep
from localassist.schemas.runs import (
    Run,
    RunCreate,
    RunUpdate,
    SubmitToolOutputs,
    ThreadAndRunCreate,
)
from localassist.services.admission import Admission
from localassist.services.attachments import Attachments
from localassist.services.messages import insert_message
from localassist.services.models import Models
from localassist.services.sandbox_limits import wanted_limits
from localassist.services.threads import create_thread
from localassist.services.tools import check_functions, check_response_format
from localassist.storage import (
    assistants,
    run_events,
    run_steps,
    runs,
    threads,
    vector_stores,
)
from localassist.storage.database import Database, Session
from localassist.storage.run_events import NewEvent
from localassist.tools.base import Toolbox

Inserted = tuple[Run, str, list[RunEvent]]


class Runs:
    """``/threads/{id}/runs``, ``/threads/runs`` and run steps."""

    def __init__(
        self,
        database: Database,
        models: Models,
        writer: RunWriter,
        executor: Executor,
        log: EventLog,
        settings: RunSettings,
        attachments: Attachments,
        admission: Admission,
    ) -> None:
        self._admission = admission
        self._database = database
        self._models = models
        self._writer = writer
        self._executor = executor
        self._log = log
        self._settings = settings
        self._attachments = attachments

    async def create(self, project: str, thread_id: str, body: RunCreate) -> Run:
        """Queue a run. Raises ResourceNotFound (assistant, thread), InvalidRequest while another
        run is active, RateLimited when too many wait, GrammarRejected for tools that cannot be
        enforced, ShuttingDown."""
        self._admission.check()
        request = await self._request(project, body)
        parent = spans.traceparent()

        def change(session: Session) -> Inserted:
            return self._insert(session, project, thread_id, body, request, [], parent)

        return await self._executor.queue(change)

    async def create_with_thread(self, project: str, body: ThreadAndRunCreate) -> Run:
        """Create a thread and queue a run on it, both or neither. Raises as ``create`` does."""
        self._admission.check()
        run_body = body.run_fields()
        request = await self._request(project, run_body)
        parent = spans.traceparent()

        def change(session: Session) -> Inserted:
            thread = create_thread(session, project, body.thread, self._attachments)
            request["tool_resources"] = self._attachments.resources(
                session, project, body.tool_resources
            )
            created = NewEvent(wire.THREAD_CREATED, thread.dump())
            return self._insert(session, project, thread.id, run_body, request, [created], parent)

        return await self._executor.queue(change)

    async def retrieve(self, project: str, thread_id: str, run_id: str) -> Run:
        return await self._database.read(
            lambda session: runs.get(session, project, thread_id, run_id)
        )

    async def list(self, project: str, thread_id: str, query: ListQuery) -> Page[Run]:
        def load(session: Session) -> Page[Run]:
            threads.get(session, project, thread_id)
            return runs.list_page(session, project, thread_id, query)

        return await self._database.read(load)

    async def update(self, project: str, thread_id: str, run_id: str, body: RunUpdate) -> Run:
        """Merge metadata, in any state of the run."""

        def change(session: Session) -> Run:
            if "metadata" not in body.model_fields_set:
                return runs.get(session, project, thread_id, run_id)
            return runs.update_metadata(session, project, thread_id, run_id, body.metadata)

        return await self._database.write(change)

    async def cancel(self, project: str, thread_id: str, run_id: str) -> Run:
        """Ask the run to stop; it is ``cancelling`` now and ``cancelled`` soon."""
        run = await self._writer.cancel(project, thread_id, run_id)
        self._executor.cancel(run_id)
        return run

    async def submit_tool_outputs(
        self, project: str, thread_id: str, run_id: str, body: SubmitToolOutputs
    ) -> Submitted:
        """Answer all calls the run waits for, and queue it again."""
        outputs = [(output.tool_call_id, output.output) for output in body.tool_outputs]
        return await self._executor.queue(submission(project, thread_id, run_id, outputs))

    async def waiting(self) -> int:
        """How many runs no worker has taken up yet, of all callers."""
        return await self._database.read(runs.waiting)

    async def list_steps(
        self, project: str, thread_id: str, run_id: str, query: ListQuery
    ) -> Page[RunStep]:
        def load(session: Session) -> Page[RunStep]:
            row = runs.row(session, project, thread_id, run_id)
            return run_steps.list_page(session, row, query)

        return await self._database.read(load)

    async def retrieve_step(
        self, project: str, thread_id: str, run_id: str, step_id: str
    ) -> RunStep:
        def load(session: Session) -> RunStep:
            row = runs.row(session, project, thread_id, run_id)
            return run_steps.get(session, row, step_id)

        return await self._database.read(load)

    def events(
        self, project: str, thread_id: str, run_id: str, after_seq: int = -1
    ) -> AsyncGenerator[RunEvent, None]:
        """The run's events behind ``after_seq``, live, until it ends or waits for tool outputs."""
        return flat(self.event_batches(project, thread_id, run_id, after_seq))

    def event_batches(
        self, project: str, thread_id: str, run_id: str, after_seq: int = -1
    ) -> AsyncGenerator[Batch, None]:
        """The same, with what is there at the same time in one list."""
        return self._log.read(project, thread_id, run_id, after_seq=after_seq)

    # -- creation -------------------------------------------------------------------------------

    async def _request(self, project: str, body: RunCreate) -> dict[str, Any]:
        """The run's frozen settings: run over assistant over default, checked."""
        assistant = await self._database.read(
            lambda session: assistants.stored(session, project, body.assistant_id)
        )
        request = _resolved(body, assistant.wire, assistant.temperature, assistant.top_p)
        await self._models.check_chat(request["model"])
        toolbox = Toolbox.from_wire(request["tools"])
        await asyncio.to_thread(self._check, toolbox, request)
        return request

    def _check(self, toolbox: Toolbox, request: dict[str, Any]) -> None:
        check_functions(toolbox, self._models.validate)
        check_choice(toolbox, request["tool_choice"])
        check_response_format(request["response_format"], self._models.validate)

    def _insert(
        self,
        session: Session,
        project: str,
        thread_id: str,
        body: RunCreate,
        request: dict[str, Any],
        before: Sequence[NewEvent],
        parent: str | None,
    ) -> Inserted:
        active = threads.lock(session, project, thread_id)
        if active is not None:
            raise InvalidRequest(f"Thread {thread_id} already has an active run {active}.")
        if runs.waiting(session) >= self._settings.max_queued:
            raise RateLimited(
                f"Rate limit reached for runs: {self._settings.max_queued} are waiting already. "
                "Please try again later.",
                retry_after_seconds=1.0,
            )
        for message in body.additional_messages or []:
            insert_message(session, project, thread_id, message, self._attachments)
        _use_stores(session, project, thread_id, body.assistant_id, request)
        row = runs.insert(
            session,
            project,
            thread_id,
            {
                "assistant_id": body.assistant_id,
                "request": request,
                "metadata": body.metadata,
                "expires_at": clock.now() + self._settings.lifetime_seconds,
                "timeline": timeline.begun(parent),
            },
        )
        run = runs.to_wire(row)
        events = [NewEvent(name, run.dump()) for name in (wire.RUN_CREATED, wire.RUN_QUEUED)]
        return run, row.id, run_events.append(session, row, [*before, *events])


def _use_stores(
    session: Session, project: str, thread_id: str, assistant_id: str, request: dict[str, Any]
) -> None:
    """That the run can search what it would; being used keeps vector stores from expiring."""
    if not any(tool["type"] == "file_search" for tool in request["tools"]):
        return
    found = stores_of(session, project, assistant_id, thread_id, request["tool_resources"])
    if found.ids:
        vector_stores.check_usable(session, project, found.ids)
        vector_stores.touch(session, found.ids)


def _resolved(
    body: RunCreate, assistant: Assistant, temperature: float | None, top_p: float | None
) -> dict[str, Any]:
    instructions = assistant.instructions if body.instructions is None else body.instructions
    parts = [part for part in (instructions, body.additional_instructions) if part]
    tools = assistant.tools if body.tools is None else body.tools
    strategy = body.truncation_strategy
    return {
        "model": assistant.model if body.model is None else body.model,
        "instructions": "\n".join(parts),
        "tools": [tool.dump() for tool in tools],
        "tool_resources": {},
        "file_ids": assistant.file_ids,
        "code_limits": wanted_limits(assistant.metadata),
        "temperature": temperature if body.temperature is None else body.temperature,
        "top_p": top_p if body.top_p is None else body.top_p,
        "max_prompt_tokens": body.max_prompt_tokens,
        "max_completion_tokens": body.max_completion_tokens,
        "truncation_strategy": (
            {"type": "auto", "last_messages": None} if strategy is None else strategy.dump()
        ),
        "tool_choice": "auto" if body.tool_choice is None else _dumped(body.tool_choice),
        "parallel_tool_calls": body.parallel_tool_calls,
        "response_format": _dumped(
            assistant.response_format if body.response_format is None else body.response_format
        ),
        "reasoning_effort": (
            assistant.reasoning_effort if body.reasoning_effort is None else body.reasoning_effort
        ),
    }


def _dumped(value: Any) -> Any:
    return value if isinstance(value, str) else value.dump()
