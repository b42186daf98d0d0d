"""EnginePool: one load per model, broken engines replaced, everything closed."""

from __future__ import annotations

import asyncio
import time

import pytest

from localassist.engine import EnginePool, EngineSettings, LlamaEngine, ScriptedEngine
from localassist.engine.scripted_backend import ScriptedBackend
from localassist.errors import ModelLoadFailed, ShuttingDown


async def test_concurrent_callers_share_one_load() -> None:
    loads: list[str] = []

    def load(model_id: str) -> ScriptedEngine:
        time.sleep(0.02)
        loads.append(model_id)
        return ScriptedEngine(model_id=model_id)

    pool = EnginePool(load)
    engines = await asyncio.gather(*(pool.get(name) for name in ("a", "b", "a", "a")))
    assert sorted(loads) == ["a", "b"]
    assert engines[0] is engines[2] is engines[3] is not engines[1]
    await pool.close()
    with pytest.raises(ShuttingDown):
        await engines[0].score([1], [[2]])
    with pytest.raises(ShuttingDown):
        await pool.get("a")


async def test_a_failed_load_is_raised_to_all_and_tried_again() -> None:
    attempts = 0

    def load(model_id: str) -> ScriptedEngine:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise ModelLoadFailed("no")
        return ScriptedEngine()

    pool = EnginePool(load)
    first = await asyncio.gather(pool.get("a"), pool.get("a"), return_exceptions=True)
    assert all(isinstance(result, ModelLoadFailed) for result in first)
    assert isinstance(await pool.get("a"), ScriptedEngine)
    await pool.close()


async def test_a_cancelled_caller_does_not_lose_the_engine() -> None:
    pool = EnginePool(lambda model_id: (time.sleep(0.05), ScriptedEngine())[1])
    waiting = asyncio.create_task(pool.get("a"))
    await asyncio.sleep(0.01)
    waiting.cancel()
    engine = await pool.get("a")
    assert await pool.get("a") is engine
    await pool.close()


async def test_a_broken_engine_is_closed_and_loaded_anew() -> None:
    backends: list[ScriptedBackend] = []

    def load(model_id: str) -> LlamaEngine:
        backend = ScriptedBackend()
        backends.append(backend)
        return LlamaEngine(lambda: backend, model_id, EngineSettings(max_sequences=2))

    pool = EnginePool(load)
    broken = await pool.get("a")
    assert isinstance(broken, LlamaEngine)
    broken._worker.has_failed = True
    assert await pool.get("a") is not broken
    assert backends[0].is_closed and not backends[1].is_closed
    await pool.close()
    assert backends[1].is_closed
