"""One run, worked from where it stands to its next rest: an answer, a call, or a failure.

``RunLoop.work`` is what a worker does with a run it has claimed. Everything it learns comes from
storage and everything it decides goes through the recorder, so that another worker can take over
after any write. Knows nothing of queues, leases or streams.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from typing import Any

from localassist import clock
from localassist.chat.formats import ToolChoice
from localassist.core import ChatMessage, GeneratedText, SamplingParams, ToolSpec, Usage
from localassist.errors import (
    ContextLengthExceeded,
    GrammarRejected,
    LeaseLost,
    LocalAssistError,
    PromptRejected,
    StorageError,
)
from localassist.runs import context
from localassist.runs.config import RunSettings
from localassist.runs.recorder import OpenMessage, Recorder
from localassist.schemas.runs import Run
from localassist.services.models import ChatModel, Models
from localassist.services.turn import take_turn
from localassist.services.turn_items import Arguments, CallBegun, Text, TurnEnded, TurnRequest
from localassist.storage import items
from localassist.storage.database import Database
from localassist.storage.items import Item
from localassist.tools.base import Toolbox

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed run: its wire form, the sampling values as requested (None where it left them
    open), what its earlier turns have used, how often its workers died, and whether it comes from
    one that did."""

    run: Run
    temperature: float | None
    top_p: float | None
    used: Usage
    interruptions: int
    is_taken_over: bool


class BudgetSpent(Exception):
    """The run may not use more tokens; ``reason`` is the run's incomplete_details, ``usage`` that
    of a step that is still open."""

    def __init__(self, reason: str, usage: Usage | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.usage = usage


class RunLoop:
    """Works runs; one instance serves all of a process."""

    def __init__(self, database: Database, models: Models, settings: RunSettings) -> None:
        self._database = database
        self._models = models
        self._settings = settings

    async def work(self, job: Job, recorder: Recorder) -> None:
        """Take the run to its next rest. Raises LeaseLost, StorageError, or CancelledError."""
        try:
            if job.interruptions > self._settings.max_interruptions:
                raise LocalAssistError(f"The run was interrupted {job.interruptions} times.")
            opened = await recorder.recover() if job.is_taken_over else None
            await self._turn(job, recorder, opened)
        except BudgetSpent as spent:
            reason, usage = spent.reason, spent.usage
            await recorder.end("incomplete", incomplete_reason=reason, usage=usage)
        except (LeaseLost, StorageError):
            raise
        except (ContextLengthExceeded, PromptRejected, GrammarRejected) as error:
            await _fail(recorder, "invalid_prompt", error.message)
        except LocalAssistError as error:
            _log.warning("run %s failed: %s", job.run.id, error.message)
            await _fail(recorder, "server_error", error.message)
        except Exception:
            _log.exception("run %s failed", job.run.id)
            await _fail(recorder, "server_error", "Sorry, something went wrong.")

    async def _turn(self, job: Job, recorder: Recorder, opened: OpenMessage | None) -> None:
        run = job.run
        calls = run.tool_choice != "none" and any(tool.type == "function" for tool in run.tools)
        async with self._models.chat(run.model, calls_functions=calls) as model:
            await self._turn_of(model, job, recorder, opened)

    async def _turn_of(
        self, model: ChatModel, job: Job, recorder: Recorder, opened: OpenMessage | None
    ) -> None:
        found = await self._database.read(
            lambda session: items.of_thread(session, job.run.thread_id)
        )
        rounds = sum(item.kind == "calls" and item.run_id == job.run.id for item in found)
        request = await self._request(job, model, recorder, found, rounds)
        if opened is not None:
            request = replace(request, continued=_tokens_of(opened, model))
        has_budget = job.run.max_completion_tokens is not None
        writer = _TurnWriter(
            model.manifest.id, recorder, opened, self._settings, has_budget=has_budget
        )
        async with aclosing(take_turn(model, request, self._models.validate)) as turn:
            async for item in turn:
                await writer.write(item)

    async def _request(
        self, job: Job, model: ChatModel, recorder: Recorder, found: Sequence[Item], rounds: int
    ) -> TurnRequest:
        run = job.run
        toolbox = Toolbox.from_wire([tool.dump() for tool in run.tools])
        choice = self._choice(run, toolbox, rounds)
        tools: Sequence[ToolSpec] = () if choice.mode == "none" else toolbox.functions
        shown = tools if model.writes_calls(choice) else ()
        fitted, prompt = await self._context(job, model, recorder, found, shown)
        return TurnRequest(
            messages=fitted.messages,
            sampling=_sampling(job, model, fitted.prompt_tokens),
            tools=tools,
            choice=choice,
            parallel=run.parallel_tool_calls,
            response_format=_dumped(run.response_format),
            prompt=prompt,
        )

    def _choice(self, run: Run, toolbox: Toolbox, rounds: int) -> ToolChoice:
        """The caller's choice binds the first turn only, or the run could never end."""
        if rounds >= self._settings.max_tool_rounds:
            raise LocalAssistError(
                f"The model asked for tools {rounds} times without answering; the run was stopped."
            )
        if rounds > 0:
            return ToolChoice("none" if run.tool_choice == "none" else "auto")
        wanted = _dumped(run.tool_choice)
        built_in = (
            wanted["type"] if isinstance(wanted, dict) and wanted["type"] != "function" else None
        )
        if built_in is not None or (wanted == "required" and not toolbox.functions):
            name = built_in or ", ".join(toolbox.unserved) or "a tool"
            raise LocalAssistError(
                f"The run requires {name}, which this server does not provide. Leave tool_choice "
                "at 'auto' to get an answer without it."
            )
        choice = ToolChoice.from_wire(wanted)
        choice.among(toolbox.functions)
        return choice

    async def _context(
        self,
        job: Job,
        model: ChatModel,
        recorder: Recorder,
        found: Sequence[Item],
        shown: Sequence[ToolSpec],
    ) -> tuple[context.Context, Sequence[int] | None]:
        """What fits beside the tools it shows, and its prompt where that shows none: it was built
        for counting."""
        run = job.run
        window = model.engine.context_length
        reserve = min(self._settings.completion_reserve_tokens, window // 4)
        room = budget = window - reserve
        limited = run.max_prompt_tokens is not None
        if run.max_prompt_tokens is not None:
            budget = min(room, run.max_prompt_tokens - job.used.prompt_tokens)
        last: tuple[Sequence[ChatMessage], Sequence[int]] = ((), ())

        def count(messages: Sequence[ChatMessage]) -> int:
            nonlocal last
            last = messages, model.prompts.build(messages, shown).token_ids
            return len(last[1])

        strategy = run.truncation_strategy
        # Long conversations take long to tokenize: not on the event loop.
        fitted = await asyncio.to_thread(
            context.fit,
            context.conversation(found),
            run.instructions,
            budget_tokens=budget,
            last_messages=strategy.last_messages if strategy.type == "last_messages" else None,
            count=count,
            run_id=run.id,
            may_cut=budget == room,  # a caller's budget ends the run instead
        )
        if fitted is None and limited:
            raise BudgetSpent("max_prompt_tokens")
        if fitted is None:
            raise PromptRejected(
                f"The newest message and the instructions do not fit the model's context of "
                f"{window} tokens, of which {reserve} are kept for the answer."
            )
        if fitted.dropped or fitted.cut:
            left_out = {
                "dropped_message_ids": list(fitted.dropped),
                "cut_tool_outputs": [asdict(output) for output in fitted.cut],
                "prompt_tokens": fitted.prompt_tokens,
            }
            await recorder.note_truncation(left_out)
        is_whole = last[0] is fitted.messages and not shown
        return fitted, last[1] if is_whole else None


class _TurnWriter:
    """Writes a turn's items to the run: a message, a round of calls, or one after the other."""

    def __init__(
        self,
        model_id: str,
        recorder: Recorder,
        opened: OpenMessage | None,
        settings: RunSettings,
        *,
        has_budget: bool,
    ) -> None:
        self._has_budget = has_budget
        self._model_id = model_id
        self._recorder = recorder
        self._settings = settings
        self._message = opened
        self._said: list[str] = [opened.text] if opened is not None else []
        self._tokens: list[int] = list(opened.token_ids) if opened is not None else []
        self._has_text = bool(self._said and self._said[0])
        self._said_in: str | None = None
        self._step_id: str | None = None

    async def write(self, item: object) -> None:
        if isinstance(item, Text):
            await self._text(item)
        elif isinstance(item, CallBegun):
            await self._begin_call(item)
        elif isinstance(item, Arguments):
            assert self._step_id is not None
            self._recorder.call_arguments(self._step_id, item.index, item.text)
        elif isinstance(item, TurnEnded):
            await self._end(item)

    async def _text(self, item: Text) -> None:
        is_first, self._has_text = not self._has_text, True
        self._said.append(item.text)
        self._tokens += item.token_ids
        if self._message is None:
            begun = item.text, item.token_ids
            self._message = await self._recorder.open_message(self._model_id, begun)
        else:
            self._recorder.text(
                self._message.message_id, item.text, item.token_ids, is_first=is_first
            )

    async def _begin_call(self, item: CallBegun) -> None:
        if self._message is not None:
            # What is said before a call is a message of its own; the usage goes to the call.
            said = GeneratedText("".join(self._said))
            await self._recorder.close_message(self._message, said, Usage())
            self._said_in, self._message = self._message.message_id, None
        if self._step_id is None:
            self._step_id = await self._recorder.open_calls()
        self._recorder.call_started(self._step_id, item.index, item.call_id, item.name)

    async def _end(self, end: TurnEnded) -> None:
        if self._step_id is not None and end.reason == "stop":
            await self._recorder.require_action(
                self._step_id,
                end.calls,
                end.generated,
                end.usage,
                said_in=self._said_in,
                expires_at=clock.now() + self._settings.lifetime_seconds,
                evidence=end.evidence,
            )
            return
        message = self._message
        if message is None and self._step_id is not None:
            raise BudgetSpent("max_completion_tokens", end.usage)  # in the middle of a call
        if message is None:
            message = await self._recorder.open_message(self._model_id)
        tokens = tuple(self._tokens) if end.generated.token_ids else ()
        said = replace(end.generated, text="".join(self._said), token_ids=tokens)
        # Without a budget of the caller's, an answer that fills the context is simply over:
        # programs wait for "completed".
        is_cut_off = end.reason == "length" and self._has_budget
        await self._recorder.complete(
            message, said, end.usage, evidence=end.evidence, is_cut_off=is_cut_off
        )


async def _fail(recorder: Recorder, code: str, message: str) -> None:
    await recorder.end("failed", last_error={"code": code, "message": message})


def _sampling(job: Job, model: ChatModel, prompt_tokens: int) -> SamplingParams:
    room = model.engine.context_length - prompt_tokens
    limit = job.run.max_completion_tokens
    if limit is not None:
        left = limit - job.used.completion_tokens
        if left <= 0:
            raise BudgetSpent("max_completion_tokens")
        room = min(room, left)
    return replace(model.sampling(job.temperature, job.top_p), max_tokens=room)


def _tokens_of(opened: OpenMessage, model: ChatModel) -> Sequence[int]:
    """The tokens of what was already said; made anew where some were not stored with their text."""
    written = model.tool_format.text_begin + opened.text
    if model.engine.detokenize(opened.token_ids) == written:
        return opened.token_ids
    return model.engine.tokenize(written, parse_special=False)


def _dumped(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else value.dump()
