"""What people may set of a model, written as ``key=value``: into fields of its manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from localassist.errors import ConfigError
from localassist.registry.manifest import ModelManifest, SamplingDefaults

_SAMPLING = tuple(SamplingDefaults.__annotations__)
_FIELDS = (
    "aliases",
    "chat_template",
    "context_length",
    "description",
    "licence",
    "quoting",
    "system_prompt",
    "tool_mode",
)
KEYS = (*_SAMPLING, *_FIELDS)
"""What can be set. Files, sums and kinds are facts and cannot."""

_MOST_FILE_BYTES = 2**20


def parse_changes(values: Sequence[str], manifest: ModelManifest) -> Mapping[str, object]:
    """The fields of the manifest that ``values`` set; None for what takes its default again.

    Raises ConfigError for what is no ``key=value``, no key, or a file that cannot be read. Whether
    a value is allowed, the manifest decides.
    """
    sampling: dict[str, Any] = dict(manifest.sampling)
    changes: dict[str, object] = {}
    for text in values:
        key, sign, value = text.partition("=")
        key = key.strip().removeprefix("sampling.")
        if not sign:
            raise ConfigError(f"`{text}` sets nothing: write key=value, for instance {key}=…")
        if key not in KEYS:
            raise ConfigError(f"`{key}` cannot be set; there are {', '.join(KEYS)}.")
        value = _read(value, key) if value.startswith("@") else value.strip()
        if key in _SAMPLING:
            sampling.pop(key, None)
            if value:
                sampling[key] = value
            changes["sampling"] = sampling
        elif key == "aliases":
            changes[key] = [alias.strip() for alias in value.split(",") if alias.strip()]
        else:
            changes[key] = value or None
    return changes


def _read(value: str, key: str) -> str:
    path = Path(value[1:]).expanduser()
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_FILE_BYTES + 1)
        if len(data) > _MOST_FILE_BYTES:
            raise ConfigError(f"{key}: {path} is larger than 1 MiB.")
        return data.decode("utf-8")
    except OSError as error:
        raise ConfigError(f"{key}: {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{key}: {path} is not text in UTF-8.") from error
