"""What a path that somebody gives holds: which model file, or which embedding model's folder.

Looks at names, headers and small JSON files; weights are read by whoever goes on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localassist.errors import ConfigError, ModelFileRejected
from localassist.registry.describe import check_chat_model, remarks
from localassist.registry.gguf import GgufHeader, read_header
from localassist.registry.manifest import FileSource, Kind, ModelManifest
from localassist.registry.parts import part_paths
from localassist.registry.weights import check_files

_WEIGHTS, _TOKENIZER = "model.safetensors", "tokenizer.json"
_NEEDED = ("config.json", _TOKENIZER, _WEIGHTS)
_CONVERT = "get its edition in GGUF format, or convert it with llama.cpp's convert_hf_to_gguf.py"


@dataclass(frozen=True, slots=True)
class Given:
    """A model: ``path`` is its file, the first of its parts, or the weights in an embedding model's
    folder. ``left_out`` are files beside it which it is used without."""

    kind: Kind
    path: Path
    left_out: tuple[str, ...] = ()


def find_given(path: Path, wanted: str | None = None) -> Given:
    """The model at ``path``, a file or a folder. ``wanted`` names one file of a folder.

    Raises ModelFileRejected, or ConfigError where a folder holds several and none is named.
    """
    path = path.expanduser().absolute()
    if not path.is_dir():
        if wanted is not None:
            raise ConfigError(
                f"--file chooses a file of a folder, and {path.name} is not a folder."
            )
        return Given("chat", part_paths(path)[0])
    models, projectors = _model_files(path)
    if wanted is not None:
        return Given("chat", _named(wanted, path), _names(path, projectors))
    if len(models) == 1:
        return Given("chat", models[0], _names(path, projectors))
    if models:
        raise ConfigError(
            f"{path.name} holds {len(models)} models; choose one with --file: "
            f"{', '.join(_names(path, models))}."
        )
    return Given("embedding", _embedder_weights(path, projectors))


def read_chat_model(path: Path) -> tuple[int, GgufHeader]:
    """The size in bytes of a chat model with all its parts, and the header that describes it.

    Raises ModelFileRejected for what is no whole chat model.
    """
    size_bytes = check_files(path)
    headers = [read_header(part) for part in part_paths(path)]
    check_chat_model(path, headers)
    return size_bytes, headers[0]


def remarks_on(manifest: ModelManifest) -> list[str]:
    """What somebody who has just added this model should know, one sentence each."""
    if manifest.kind != "chat" or not isinstance(manifest.source, FileSource):
        return []
    return remarks(read_header(manifest.source.path), manifest)


def _model_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """The models and the image projectors in a folder, or one folder deeper, where hubs put the
    parts of large ones. A split model counts once, by its first part."""
    try:
        found = [*folder.iterdir(), *folder.glob("*/*")]
    except OSError as error:
        raise ModelFileRejected(f"{folder} cannot be read: {error.strerror}.") from error
    files = [file for file in found if file.suffix.lower() == ".gguf" and file.is_file()]
    projectors = sorted(file for file in files if is_projector(file.name))
    models = {part_paths(file)[0] for file in files if file not in projectors}
    return sorted(models), projectors


def is_projector(name: str) -> bool:
    """Whether a file's name says that it turns images into tokens for another model."""
    return "mmproj" in name.lower()


def _named(wanted: str, folder: Path) -> Path:
    path = part_paths(folder / wanted)[0]
    if not path.is_relative_to(folder) or ".." in path.parts or not path.exists():
        models, _ = _model_files(folder)
        there = ", ".join(_names(folder, models)) or "no GGUF file"
        raise ConfigError(f"{folder.name} has no file {wanted}; there is {there}.")
    return path


def _names(folder: Path, files: Sequence[Path]) -> tuple[str, ...]:
    return tuple(str(file.relative_to(folder)) for file in files)


def _embedder_weights(folder: Path, projectors: Sequence[Path]) -> Path:
    """The weights in a folder of sentence-transformers; ModelFileRejected says what it is not."""
    config = read_json(folder / "config.json")
    if projectors:
        raise ModelFileRejected(
            f"{folder.name} holds only an image projector ({projectors[0].name}); the language "
            "model that it belongs to is missing."
        )
    if not config and not (folder / "modules.json").exists():
        raise ModelFileRejected(
            f"{folder.name} holds no model: neither a GGUF file nor an embedding model in the "
            "layout of sentence-transformers."
        )
    if not (folder / "modules.json").exists():
        made_for = ", ".join(map(str, config.get("architectures") or ["unknown"]))
        raise ModelFileRejected(
            f"{folder.name} is a model in the format of transformers ({made_for}), which is not "
            f"what is computed here: {_CONVERT}."
        )
    if config.get("auto_map"):
        raise ModelFileRejected(
            f"{folder.name} brings program code of its own, which is never run; take another "
            "embedding model."
        )
    check_embedder(folder)
    check_files(folder / _WEIGHTS)
    return folder / _WEIGHTS


def check_embedder(folder: Path) -> None:
    """Raise ModelFileRejected where an embedding model's folder lacks a file without which it
    cannot be computed, or its tokenizer cannot be read."""
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if missing:
        wrong = f"lacks {', '.join(missing)}"
    elif "model" not in read_json(folder / _TOKENIZER):
        wrong = f"has a damaged {_TOKENIZER}"
    else:
        return
    raise ModelFileRejected(
        f"The embedding model in {folder.name} {wrong}; copy or download its whole folder again."
    )


def read_json(path: Path) -> dict[str, Any]:
    """The object in a small JSON file; an empty one where there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
