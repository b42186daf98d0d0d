"""Why a model calls a function or answers, without a run: what it decides is shown, not done."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

from localassist.chat.formats import ToolChoice
from localassist.core import ChatMessage, SamplingParams, ToolCall, ToolSpec
from localassist.schemas.chat import CompletionUsage
from localassist.schemas.tool_explanations import (
    ExplainedCall,
    ExplainedScore,
    ToolsExplain,
    ToolsExplanation,
)
from localassist.services.chat import check_completion, conversation, offered_tools
from localassist.services.models import ChatModel, Models
from localassist.services.turn import take_turn
from localassist.services.turn_items import TurnEnded, TurnRequest
from localassist.tools.guided import GuidedThresholds

if TYPE_CHECKING:
    from localassist.tools.guided import GuidedCaller

_ANSWER_TOKENS = 512


class Explain:
    """``/tools/explain``."""

    def __init__(self, models: Models) -> None:
        self._models = models

    async def explain(self, project: str, body: ToolsExplain) -> ToolsExplanation:
        """What a turn of this conversation would do. Raises what a chat completion raises."""
        completion = body.completion()
        messages = conversation(completion.messages)
        tools, choice = offered_tools(completion)
        is_parallel = body.parallel_tool_calls is not False
        # A schema that cannot be enforced is refused before a model is loaded.
        await asyncio.to_thread(check_completion, completion, self._models.validate)
        async with self._models.chat(body.model, calls_functions=bool(tools)) as model:
            if model.guided is not None:
                return await _of_guided(model, model.guided, messages, tools, choice, is_parallel)
            request = TurnRequest(
                messages=messages,
                sampling=SamplingParams(temperature=0, max_tokens=_ANSWER_TOKENS),
                tools=tools,
                choice=choice,
                parallel=is_parallel,
            )
            return await self._of_writer(model, request)

    async def _of_writer(self, model: ChatModel, request: TurnRequest) -> ToolsExplanation:
        """A model that writes its calls itself gives no reasons: what it wrote is all there is."""
        async with aclosing(take_turn(model, request, self._models.validate)) as items:
            async for item in items:
                if isinstance(item, TurnEnded):
                    end = item
        whole = [call for call in end.calls if not (end.reason == "length" and _is_cut(call))]
        output = end.generated.text
        if len(whole) < len(end.calls):
            output += f"\n[cut after {_ANSWER_TOKENS} tokens; the unfinished call is left out]"
        return ToolsExplanation(
            model=model.manifest.id,
            mode=_mode(model),
            verdict="call" if whole else "answer",
            calls=[
                ExplainedCall(name=call.name, arguments=call.arguments, evidence={})
                for call in whole
            ],
            output=output,
            usage=CompletionUsage.of(end.usage),
        )


def _is_cut(call: ToolCall) -> bool:
    try:
        json.loads(call.arguments)
    except ValueError:
        return True
    return False


async def _of_guided(
    model: ChatModel,
    caller: GuidedCaller,
    messages: Sequence[ChatMessage],
    tools: Sequence[ToolSpec],
    choice: ToolChoice,
    is_parallel: bool,
) -> ToolsExplanation:
    plan = await caller.plan(messages, tools, choice, is_parallel)
    return ToolsExplanation(
        model=model.manifest.id,
        mode=_mode(model),
        question=await asyncio.to_thread(caller.question, messages),
        verdict="call" if plan.calls else "answer",
        scores=[ExplainedScore(**asdict(score)) for score in plan.scores],
        thresholds=asdict(GuidedThresholds()),
        grounding=plan.grounding,
        calls=[
            ExplainedCall(name=call.name, arguments=call.arguments, evidence=dict(call.evidence))
            for call in plan.calls
        ],
        usage=CompletionUsage.of(plan.usage),
    )


def _mode(model: ChatModel) -> Literal["native", "guided", "none"]:
    mode = model.manifest.tool_mode
    assert mode != "auto", "a loaded model's mode is settled"
    return mode
