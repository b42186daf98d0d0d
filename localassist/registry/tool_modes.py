"""What was found out about how models call functions, in a file that all processes share.

What cannot be read is found out again, what cannot be written is a warning. Knows nothing of how
models are asked: ``services.tool_mode`` does.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from localassist.errors import StorageUnavailable
from localassist.registry.config import ToolMode
from localassist.registry.manifest import ModelManifest, ServerSource
from localassist.registry.weights import write_text

_log = logging.getLogger(__name__)

PROBE_VERSION = 1
"""Of the questions that models are asked; another one asks anew."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is remembered of a model. ``right_calls`` and ``left_alone`` are shares of the questions
    that wanted a call, and that wanted none; the latter are only asked of a model that can call."""

    mode: ToolMode
    right_calls: float
    left_alone: float | None = None

    @property
    def reason(self) -> str:
        """For people."""
        text = f"{self.right_calls:.0%} right calls"
        return text if self.left_alone is None else f"{text}, {self.left_alone:.0%} left alone"


class ToolModeMemory:
    """``cache/tool_modes.json`` of a data folder. Blocks on disk."""

    def __init__(self, home: Path) -> None:
        self._path = home / "cache" / "tool_modes.json"

    def recall(self, manifest: ModelManifest, engine_template: str | None = None) -> Finding | None:
        """What was found out about this model; None if nothing was. A server may have changed its
        template, so whoever knows that of the engine gives it."""
        try:
            record = dict(self._records()[_identity(manifest)])
            is_current = record.pop("version") == PROBE_VERSION
            template = record.pop("template")
            record.pop("model")
            found = Finding(**record)
        except (KeyError, TypeError, ValueError):
            return None
        is_current &= engine_template is None or template == _digest(engine_template)
        return found if is_current and found.mode in get_args(ToolMode) else None

    def remember(
        self, manifest: ModelManifest, engine_template: str | None, found: Finding
    ) -> None:
        entry = {
            "model": manifest.id,
            "version": PROBE_VERSION,
            "template": _digest(engine_template),
            **asdict(found),
        }
        records = {**self._records(), _identity(manifest): entry}
        try:
            write_text(self._path, json.dumps(records, indent=1, sort_keys=True) + "\n")
        except StorageUnavailable as error:
            _log.warning("how %s calls functions is not remembered: %s", manifest.id, error.message)

    def _records(self) -> dict[str, Any]:
        try:
            records = json.loads(self._path.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return records if isinstance(records, dict) else {}


def _identity(manifest: ModelManifest) -> str:
    """The same weights under the same template, or the same server's model."""
    source = manifest.source
    where = (source.url, source.model) if isinstance(source, ServerSource) else manifest.sha256
    return _digest(repr((where, manifest.chat_template)))


def _digest(text: str | None) -> str:
    return hashlib.sha256(repr(text).encode("utf-8", "replace")).hexdigest()
