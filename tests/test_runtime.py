"""The composition root with real models."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from localassist import load_settings
from localassist.errors import ModelLoadFailed
from localassist.registry.catalog import Catalog
from localassist.registry.weights import find_weights
from localassist.runtime import Runtime, open_runtime
from localassist.schemas.chat import ChatCompletionCreate

pytestmark = pytest.mark.model

ENGINE = {
    "context_tokens": 512,
    "snapshot_memory_mb": 8,
    "use_extra_buffers": "off",
    "threads": 1,
    "batch_threads": 1,
}


def add_twin(home: Path) -> None:
    """Make the embedded model known under a second name."""
    catalog = Catalog(home)
    catalog.add(find_weights(catalog.default("chat")), model_id="twin")


async def ask(runtime: Runtime, model: str) -> str:
    body = {"model": model, "max_tokens": 4, "messages": [{"role": "user", "content": "Hi"}]}
    request = ChatCompletionCreate.model_validate(body)
    answer = await runtime.chat.complete(runtime.default_project, request)
    return answer.choices[0].message.content or ""


async def test_requests_for_two_models_share_memory_for_one(tmp_path: Path) -> None:
    add_twin(tmp_path)
    settings = load_settings(tmp_path, engine={**ENGINE, "memory_budget_mb": 150})
    async with open_runtime(settings) as runtime:
        names = ["twin", "smollm2-135m-instruct"] * 2
        answers = await asyncio.gather(*(ask(runtime, name) for name in names))
        assert all(answers)
        assert runtime.pool is not None
        (loaded,) = runtime.pool.loaded()
        assert loaded.state == "idle" and 90 * 2**20 < loaded.size_bytes < 150 * 2**20
        totals = runtime.pool.totals
        assert {total.loads for total in totals.values()} == {1}
        assert sum(total.evictions for total in totals.values()) == 1
        # What is only prepared closes nothing.
        other = next(name for name in names if name != loaded.model_id)
        runtime.models.prepare(other)
        await asyncio.gather(*runtime.models._preparing)
        assert [model.model_id for model in runtime.pool.loaded()] == [loaded.model_id]


async def test_a_model_that_is_too_large_is_refused_by_name(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, engine={**ENGINE, "memory_budget_mb": 64})
    async with open_runtime(settings) as runtime:
        with pytest.raises(ModelLoadFailed, match="smollm2-135m-instruct needs about .* MiB"):
            await ask(runtime, "gpt-4o")


async def test_a_default_that_cannot_be_loaded_is_told_before_anybody_asks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lora = ({"path": tmp_path / "missing.gguf"},)
    async with open_runtime(load_settings(tmp_path, engine={**ENGINE, "lora": lora})) as runtime:
        runtime.models.prepare_default()
        await asyncio.gather(*runtime.models._preparing)
    (warning,) = [record for record in caplog.records if record.name.endswith("services.models")]
    assert warning.levelname == "WARNING" and "missing.gguf" in warning.getMessage()
