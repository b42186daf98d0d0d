"""Answers of an engine over the scripted backend, collected."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from localassist.core import SamplingParams
from localassist.engine import Finished, Generate, LlamaEngine
from localassist.engine.scripted_backend import END_TOKEN, ScriptedBackend, hashed_letters

MakeEngine = Callable[..., LlamaEngine]
GREEDY = SamplingParams(temperature=0)


def endless(tokens: Sequence[int]) -> int:
    """A letter for every position, never an end."""
    token = hashed_letters(tokens)
    return ord("z") if token == END_TOKEN else token


def spacious() -> ScriptedBackend:
    """Room for an answer that is still running when everything else is done."""
    return ScriptedBackend(endless, context_length=8000, cells=10_000)


async def collect(engine: LlamaEngine, request: Generate) -> tuple[str, list[int], Finished]:
    text, tokens = "", []
    async for item in engine.generate(request):
        if isinstance(item, Finished):
            assert engine.detokenize(tokens) == text
            return text, tokens, item
        text += item.text
        tokens += item.token_ids
    raise AssertionError("a generation ends with Finished")


def alone(prompt: bytes, limit: int, next_token: Callable[[Sequence[int]], int]) -> str:
    tokens = list(prompt)
    while len(tokens) < len(prompt) + limit and (token := next_token(tokens)) != END_TOKEN:
        tokens.append(token)
    return bytes(tokens[len(prompt) :]).decode()


async def reading(engine: LlamaEngine) -> asyncio.Task[None]:
    """A task in the middle of reading an endless answer."""
    has_begun = asyncio.Event()

    async def read() -> None:
        async with contextlib.aclosing(engine.generate(Generate(b"q", GREEDY))) as stream:
            async for _ in stream:
                has_begun.set()

    reader = asyncio.create_task(read())
    await has_begun.wait()
    return reader


async def settle(engine: LlamaEngine) -> None:
    """Let the worker take what is in its inbox: a request behind it does."""
    await collect(engine, Generate(b"~", SamplingParams(temperature=0, max_tokens=1)))
