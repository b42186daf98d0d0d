"""What a turn of a run puts to the model: messages that fit, tools, sampling values."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, replace

from localassist.core import ChatMessage, SamplingParams, ToolSpec
from localassist.errors import PromptRejected
from localassist.runs import context
from localassist.runs.config import RunSettings
from localassist.runs.offer import Offer
from localassist.runs.recorder import OpenMessage
from localassist.runs.subject import Job, Subject, dumped
from localassist.runs.turn_writer import BudgetSpent
from localassist.services.models import ChatModel
from localassist.services.turn_items import TurnRequest


class Prompting:
    """Makes the requests of turns; one instance serves all of a process."""

    def __init__(self, settings: RunSettings) -> None:
        self._settings = settings

    async def request(
        self, subject: Subject, entries: Sequence[context.Entry], may: Offer
    ) -> tuple[TurnRequest, int]:
        """What is put to the model, and how many tokens its prompt has. Raises BudgetSpent, and
        PromptRejected when even the newest message does not fit."""
        run, model = subject.run, subject.model
        shown = (*may.functions, *may.shown) if model.writes_calls(may.choice) or may.shown else ()
        fitted, prompt = await self._context(subject, entries, shown)
        request = TurnRequest(
            messages=fitted.messages,
            sampling=_sampling(subject.job, model, fitted.prompt_tokens),
            tools=may.functions if may.choice.mode != "none" else (),
            choice=may.choice,
            parallel=run.parallel_tool_calls,
            response_format=dumped(run.response_format),
            prompt=prompt,
        )
        return request, fitted.prompt_tokens

    async def _context(
        self,
        subject: Subject,
        entries: Sequence[context.Entry],
        shown: Sequence[ToolSpec],
    ) -> tuple[context.Context, Sequence[int] | None]:
        """What fits beside the tools it shows, and its prompt, if one was built for counting."""
        job, model, run = subject.job, subject.model, subject.run
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
            entries,
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
            await subject.recorder.note_truncation(left_out)
        return fitted, last[1] if last[0] is fitted.messages else None


def _sampling(job: Job, model: ChatModel, prompt_tokens: int) -> SamplingParams:
    room = model.engine.context_length - prompt_tokens
    limit = job.run.max_completion_tokens
    if limit is not None:
        left = limit - job.used.completion_tokens
        if left <= 0:
            raise BudgetSpent("max_completion_tokens")
        room = min(room, left)
    return replace(model.sampling(job.temperature, job.top_p), max_tokens=room)


def tokens_of(opened: OpenMessage, model: ChatModel) -> Sequence[int]:
    """The tokens of what was already said; made anew where some were not stored with their text."""
    written = model.tool_format.text_begin + opened.text
    if model.engine.detokenize(opened.token_ids) == written:
        return opened.token_ids
    return model.engine.tokenize(written, parse_special=False)
