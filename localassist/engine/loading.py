"""From a model file to an engine: settles what is measured, then loads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

from localassist.engine.config import EngineSettings
from localassist.engine.engine import LlamaEngine
from localassist.engine.tuning import tuned

LoadProgress: TypeAlias = Callable[[float], None]
"""Called with the loaded part, 0 to 1, from any thread. It may raise to stop the loading."""


def load_engine(
    path: Path,
    model_id: str,
    settings: EngineSettings,
    cache_folder: Path,
    progress: LoadProgress | None = None,
) -> LlamaEngine:
    """Load a GGUF file; blocks for seconds. ``cache_folder`` remembers what the machine can do, and
    holds the snapshots of conversations.

    Raises ModelLoadFailed, and what ``progress`` raises.
    """
    from localassist.engine.llama import LlamaBackend

    check = (lambda: None) if progress is None else partial(progress, 0.0)
    settings = tuned(settings, path, cache_folder, check)
    use_extra_buffers = settings.use_extra_buffers == "on"
    open_backend = partial(
        LlamaBackend, path, settings, use_extra_buffers=use_extra_buffers, progress=progress
    )
    return LlamaEngine(
        open_backend, model_id, settings, snapshot_folder=cache_folder / "conversations"
    )
