"""From a GGUF file's header to the manifest of a chat model: pure rules, no disk."""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast, get_args

from localassist.errors import ConfigError, ModelFileRejected
from localassist.registry.config import ToolMode
from localassist.registry.gguf import GgufHeader
from localassist.registry.manifest import ID_PATTERN, FileSource, ModelManifest, ServerSource

_EMBEDDING_ARCHITECTURES = re.compile(r"bert|-embed(ding)?$")


def choose_id(path: Path, wanted: str | None) -> str:
    """``wanted`` if it is a legal id, or an id made from the file's name."""
    if wanted is None:
        slug = re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower()).strip("-._")[:128]
        return slug or "model"
    if not re.fullmatch(ID_PATTERN, wanted):
        raise ConfigError(
            f"`{wanted}` cannot be a model's name: use small letters, digits, dots, hyphens and "
            "underscores, starting with a letter or digit."
        )
    return wanted


def check_chat_model(path: Path, header: GgufHeader) -> None:
    """Return if the file is one whole language model; ModelFileRejected says what else it is."""
    if header.part_count > 1:
        raise ModelFileRejected(
            f"{path.name} is one of {header.part_count} parts of a model; merge them with "
            "`llama-gguf-split --merge` and give the result."
        )
    file_type = header.metadata.get("general.type", "model")
    if file_type == "adapter":
        raise ModelFileRejected(f"{path.name} is an adapter; give the model that it adapts.")
    if file_type == "mmproj" or header.architecture == "clip":
        raise ModelFileRejected(
            f"{path.name} is an image projector; give the language model that it belongs to."
        )
    if _EMBEDDING_ARCHITECTURES.search(header.architecture):
        raise ModelFileRejected(
            f"{path.name} is an embedding model ({header.architecture}); only chat models can be "
            "added from a file."
        )
    if header.tensor_count == 0:
        raise ModelFileRejected(f"{path.name} holds no weights; give the model itself.")


def describe(
    model_id: str, weights: Path, sha256: str, size_bytes: int, header: GgufHeader
) -> ModelManifest:
    """The manifest of a file that has been checked."""
    name, size_label = header.name or "", header.size_label or ""
    return ModelManifest(
        id=model_id,
        kind="chat",
        source=FileSource(path=weights),
        sha256=sha256,
        size_bytes=size_bytes,
        licence=header.licence or "unknown",
        description=name if size_label in name else f"{name} {size_label}".strip(),
        quantization=header.quantization,
        context_length=header.context_length or None,
    )


def describe_server(source: ServerSource, name: str, model_id: str | None) -> ModelManifest:
    """The manifest of a model that its server calls ``name``: a path of a file, or a title.

    Raises ConfigError when ``model_id`` cannot be a model's name.
    """
    plain = name.rstrip("/").rpartition("/")[2].removesuffix(".gguf")
    return ModelManifest(
        id=choose_id(Path(f"{plain}.gguf"), model_id),
        kind="chat",
        source=source,
        description=f"{plain} at {source.url}",
    )


def check_tool_mode(value: str) -> ToolMode:
    """``value`` if it is a tool mode; ConfigError otherwise."""
    if value not in get_args(ToolMode):
        raise ConfigError(f"tool_mode: `{value}` is not native, guided, none or auto.")
    return cast(ToolMode, value)
