"""A request given up at any moment frees what it held, and the others do not notice."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import aclosing

import pytest

from localassist.core import Constraint, SamplingParams
from localassist.engine import EngineSettings, Finished, Generate, LlamaEngine
from localassist.engine.backend import Batch
from localassist.engine.scripted_backend import ScriptedBackend, hashed_letters

GREEDY = SamplingParams(temperature=0, max_tokens=40)
PROMPT = b"one two three four five six seven eight nine ten " * 2


def endless(tokens: list[int]) -> int:
    token = hashed_letters(tokens)
    return token if token < 256 else ord("z")


class Stepwise(ScriptedBackend):
    """Stops before pass number ``gate`` until it is let go."""

    def __init__(self, gate: int) -> None:
        super().__init__(endless, cells=700, context_length=400, batch_rows=16)
        self._gate = gate
        self._loop = asyncio.get_running_loop()
        self.reached = asyncio.Event()
        self.go_on = False

    def forward(self, batch: Batch) -> None:
        if len(self.passes) == self._gate and not self.go_on:
            self.go_on = True
            self._loop.call_soon_threadsafe(self.reached.set)
        super().forward(batch)


async def answer(engine: LlamaEngine, request: Generate) -> list[int]:
    tokens: list[int] = []
    async with aclosing(engine.generate(request)) as items:
        async for item in items:
            if isinstance(item, Finished):
                return tokens
            tokens += item.token_ids
    raise AssertionError("a generation ends with Finished")


async def cells_when_quiet(engine: LlamaEngine) -> int:
    while engine.counters.running or engine.counters.waiting:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    return engine.counters.pinned_cells


@pytest.mark.parametrize("gate", range(14))
async def test_cancelled_before_any_pass(gate: int) -> None:
    """Prefill, first token, forced tokens, guesses: every stage comes up among the passes."""
    settings = EngineSettings(max_sequences=3, cached_segments=13, idle_cells=60)
    alone = LlamaEngine(lambda: ScriptedBackend(endless, context_length=400), "alone", settings)
    other = Generate(PROMPT + b"another question", GREEDY)
    expected = await answer(alone, other)
    await alone.close()

    backend = Stepwise(gate)
    engine = LlamaEngine(lambda: backend, "x", settings)
    requests = [
        Generate(PROMPT, GREEDY),
        Generate(PROMPT + b"!", GREEDY, Constraint('start: /[ab]+/ " and then " /[a-z ]+/')),
        Generate(PROMPT * 2, GREEDY),
        Generate(b"waits for a place", GREEDY),
    ]
    doomed = [asyncio.create_task(answer(engine, request)) for request in requests]
    scoring = asyncio.create_task(engine.score(PROMPT, [b"eleven", b"twelve", b"."]))
    kept = asyncio.create_task(answer(engine, other))
    await asyncio.wait_for(backend.reached.wait(), 10)
    for task in (*doomed, scoring):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert await asyncio.wait_for(kept, 10) == expected
    assert await cells_when_quiet(engine) == 0
    await engine.close()
    scheduler = engine._worker.scheduler
    scheduler.check_integrity()
    while scheduler.cache.evict():
        pass
    assert scheduler.kv.used_cells == backend.used_cells == 0
