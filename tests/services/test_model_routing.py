"""Several models at once: a request is answered by the one it names, with its defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from localassist.engine.copies import make_copy
from localassist.registry import Catalog
from localassist.runtime import open_runtime
from localassist.services.model_defaults import change
from localassist.settings import load_settings

SHIPPED = "smollm2-135m-instruct"


@pytest.mark.model
async def test_two_files_are_routed_by_name_each_with_its_own_defaults(tmp_path: Path) -> None:
    home = tmp_path / "home"
    catalog = Catalog(home)
    copy = tmp_path / "other.gguf"
    make_copy(catalog.locate(catalog.get(SHIPPED)), copy, "q8_0")
    catalog.add(copy)
    change(catalog, "other", ["context_length=512", "temperature=0.5", "aliases=second-*"])
    change(catalog, SHIPPED, ["context_length=1024"])
    engine = {"snapshot_memory_mb": 8, "use_extra_buffers": "off", "threads": 1, "batch_threads": 1}
    async with open_runtime(load_settings(home, engine=engine)) as runtime:
        seen = {}
        for name in ("gpt-4o", "second-best", "other"):
            async with runtime.models.chat(name) as model:
                sampling = model.sampling(None, None)
                seen[name] = (
                    model.engine.model_id,
                    model.engine.context_length,
                    sampling.temperature,
                )
        assert seen == {
            "gpt-4o": (SHIPPED, 1024, 0.0),
            "second-best": ("other", 512, 0.5),
            "other": ("other", 512, 0.5),
        }
        assert runtime.pool is not None
        assert {model.model_id for model in runtime.pool.loaded()} == {SHIPPED, "other"}
