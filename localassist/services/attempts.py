"""Values that a grammar could not hold to their whole schema: checked before they are given out,
and written again with other draws when they do not fit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import TypeAlias

from localassist.core import Usage
from localassist.errors import GenerationFailed
from localassist.services.models import ChatModel
from localassist.services.turn_items import Text, TurnEnded, TurnItem, TurnRequest
from localassist.tools.grammar import Validate, is_checked_later

Write: TypeAlias = Callable[[ChatModel, TurnRequest, Validate], AsyncGenerator[TurnItem, None]]

_ATTEMPTS = 4
_RETRY_TEMPERATURE = 0.7  # a greedy model would only say the same again


class Misfit(GenerationFailed):
    """A finished value does not fit its schema. ``usage`` is what writing it took."""

    def __init__(self, message: str, usage: Usage) -> None:
        super().__init__(message)
        self.usage = usage


async def attempts(
    model: ChatModel, request: TurnRequest, validate: Validate, write: Write
) -> AsyncGenerator[TurnItem, None]:
    """What ``write`` yields. A turn whose value does not fit is written again as long as nothing
    of it has been given out and the token limit allows. Raises Misfit, with the usage of all
    attempts, when none of the values fit."""
    keeps_text, wanted = False, request.response_format
    if isinstance(wanted, Mapping):
        keeps_text = await asyncio.to_thread(is_checked_later, (), wanted, validate)
    keeps_calls = (
        keeps_text
        or _may_answer_like_a_call(model, request)
        or is_checked_later(request.tools, None, validate)
    )
    spent = Usage()
    for attempt in range(_ATTEMPTS):
        kept: list[TurnItem] = []
        is_given_out = False
        try:
            again = _varied(request, attempt, spent)
            async with aclosing(write(model, again, validate)) as items:
                async for item in items:
                    if isinstance(item, TurnEnded):
                        item = replace(item, usage=spent + item.usage)
                    elif keeps_text if isinstance(item, Text) else keeps_calls:
                        kept.append(item)
                        continue
                    is_given_out = True
                    for earlier in kept:
                        yield earlier
                    kept.clear()
                    yield item
            return
        except Misfit as misfit:
            spent += misfit.usage
            limit = request.sampling.max_tokens
            is_spent = limit is not None and spent.completion_tokens >= limit
            if is_given_out or is_spent or attempt == _ATTEMPTS - 1 or request.continued:
                raise Misfit(misfit.message, spent) from misfit


def _may_answer_like_a_call(model: ChatModel, request: TurnRequest) -> bool:
    """Whether an answer in JSON may read as a call, so that only the turn's end tells."""
    wanted = request.response_format
    is_json = isinstance(wanted, Mapping) and wanted["type"] != "text"
    can_do_both = is_json and bool(request.tools) and not request.choice.demands_call
    return can_do_both and model.tool_format.calls_look_like_answers


def _varied(request: TurnRequest, attempt: int, spent: Usage) -> TurnRequest:
    if attempt == 0:
        return request
    sampling = request.sampling
    if sampling.max_tokens is not None:
        left = sampling.max_tokens - spent.completion_tokens
        sampling = replace(sampling, max_tokens=left)
    seed = None if sampling.seed is None else sampling.seed + attempt
    temperature = max(sampling.temperature, _RETRY_TEMPERATURE)
    return replace(request, sampling=replace(sampling, seed=seed, temperature=temperature))
