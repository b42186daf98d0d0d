"""One turn of a model: a conversation in, text and tool calls out, as they come.

Runs and chat completions both speak to models only through this. A model that writes calls itself
is held to one grammar; a small one is led: first it is decided whether and what to call, and only
an answer is written freely. One of mode ``none`` answers, unless a call is demanded.
Knows nothing of threads, storage or the wire.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from localassist import ids
from localassist.core import GeneratedText, ToolCall, ToolSpec, Usage
from localassist.services.attempts import attempts
from localassist.services.models import ChatModel
from localassist.services.turn_items import Arguments, CallBegun, TurnEnded, TurnItem, TurnRequest
from localassist.services.writing import write_plain, write_with_calls
from localassist.tools.grammar import Validate, check_tools
from localassist.tools.guided import ToolPlan


async def take_turn(
    model: ChatModel, request: TurnRequest, validate: Validate
) -> AsyncGenerator[TurnItem, None]:
    """Let ``model`` answer. Closing the iterator stops the generation.

    Raises what building the prompt and generating raise: PromptRejected, ContextLengthExceeded,
    GrammarRejected, GenerationFailed. A value that a grammar could not hold to its whole schema is
    kept back until it is checked, and written again when it does not fit.
    """
    checked: Sequence[ToolSpec] = ()
    if request.tools:
        # Grammars take a while to check: not on the event loop.
        checked = await asyncio.to_thread(check_tools, request.tools, validate)
    spent, evidence = Usage(), dict[str, Any]()
    if model.guided is not None and request.tools and not request.continued:
        plan = await model.guided.plan(
            request.messages, request.tools, request.choice, request.parallel
        )
        if plan.calls:
            for item in _planned(model, plan):
                yield item
            return
        spent, evidence = plan.usage, _evidence(plan)
        if not request.answers:
            yield TurnEnded("stop", spent, GeneratedText(""), evidence=evidence)
            return
    writes_calls = bool(request.tools) and model.writes_calls(request.choice)
    request = replace(request, tools=checked if writes_calls else ())
    # Some models mark their texts, too, whether there are tools or not; that mark has to be read.
    marks_texts = model.guided is None and bool(model.tool_format.text_begin)
    write = write_with_calls if writes_calls or marks_texts else write_plain
    async with aclosing(attempts(model, request, validate, write)) as items:
        async for item in items:
            if isinstance(item, TurnEnded):
                item = replace(item, usage=spent + item.usage, evidence=evidence)
            yield item


def _planned(model: ChatModel, plan: ToolPlan) -> list[TurnItem]:
    made = tuple(ToolCall(ids.new_id("call"), call.name, call.arguments) for call in plan.calls)
    items: list[TurnItem] = []
    for index, call in enumerate(made):
        items.append(CallBegun(index, call.id, call.name))
        items.append(Arguments(index, call.arguments))
    said = GeneratedText(model.tool_format.render_calls(made), (), model.manifest.id)
    return [*items, TurnEnded("stop", plan.usage, said, made, _evidence(plan))]


def _evidence(plan: ToolPlan) -> dict[str, Any]:
    """Why the plan is what it is; empty where there was nothing to decide."""
    evidence: dict[str, Any] = {}
    if plan.scores:
        scores = {score.name: round(score.decision, 3) for score in plan.scores}
        evidence["tool_scores"] = scores
    if plan.grounding is not None:
        evidence["grounding"] = round(plan.grounding, 2)
    if plan.calls:
        evidence["argument_evidence"] = [dict(call.evidence) for call in plan.calls]
    return evidence
