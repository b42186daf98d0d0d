"""From what a model's files say to its manifest: pure rules, no disk."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

from localassist.errors import ConfigError, ModelFileRejected
from localassist.registry.config import ToolMode
from localassist.registry.gguf import GgufHeader
from localassist.registry.manifest import ID_PATTERN, FileSource, ModelManifest, ServerSource
from localassist.registry.parts import model_name

_EMBEDDING_ARCHITECTURES = re.compile(r"bert|-embed(ding)?$|^t5encoder$")
_NO_MODELS = {
    "mmproj": "an image projector; give the language model that it belongs to",
    "imatrix": "an importance matrix for quantizing; give a model",
}


def choose_id(path: Path, wanted: str | None) -> str:
    """``wanted`` if it is a legal id, or an id made from the file's name."""
    if wanted is None:
        name = model_name(path.name).lower()
        slug = re.sub(r"[^a-z0-9._-]+", "-", name).strip("-._")[:128].rstrip("-._")
        return slug or "model"
    if not re.fullmatch(ID_PATTERN, wanted):
        raise ConfigError(
            f"`{wanted}` cannot be a model's name: use small letters, digits, dots, hyphens and "
            "underscores, starting with a letter or digit."
        )
    return wanted


def check_chat_model(path: Path, headers: Sequence[GgufHeader]) -> None:
    """Return if the file, or its parts in order, are one whole language model; ModelFileRejected
    says what else it is."""
    header = headers[0]
    _check_parts(path, headers)
    file_type = header.metadata.get("general.type", "model")
    if file_type == "adapter":
        raise ModelFileRejected(
            f"{path.name} is a LoRA adapter and no model by itself; add the model that it was made "
            "for, and name the adapter in the setting engine.lora."
        )
    if file_type in _NO_MODELS or header.architecture == "clip":
        what = _NO_MODELS.get(str(file_type), _NO_MODELS["mmproj"])
        raise ModelFileRejected(f"{path.name} is {what}.")
    pooling = header.metadata.get(f"{header.architecture}.pooling_type", 0)
    if _EMBEDDING_ARCHITECTURES.search(header.architecture) or pooling:
        raise ModelFileRejected(
            f"{path.name} is an embedding model ({header.architecture}) and cannot chat. Embedding "
            "models are added as a folder in the layout of sentence-transformers; see docs "
            "embedders."
        )
    if sum(one.tensor_count for one in headers) == 0:
        raise ModelFileRejected(
            f"{path.name} holds a vocabulary and no weights; give the model itself."
        )


def _check_parts(path: Path, headers: Sequence[GgufHeader]) -> None:
    count = headers[0].part_count
    if count != len(headers):
        raise ModelFileRejected(
            f"{path.name} is one of {count} parts of a model, and parts are found by their names: "
            f"give them back names such as {model_name(path.name)}-00001-of-{count:05}.gguf."
            if count > 1
            else f"{path.name} is named like one of {len(headers)} parts of a model and is a whole "
            "one; give it another name."
        )
    if count == 1:
        return
    for number, header in enumerate(headers):
        if (header.part_count, header.part_number) != (count, number):
            raise ModelFileRejected(
                f"Part {number + 1} of {path.name} says that it is part {header.part_number + 1} "
                f"of {header.part_count}: the files were mixed up; copy or download them again."
            )
    promised = headers[0].metadata.get("split.tensors.count")
    found = sum(header.tensor_count for header in headers)
    if type(promised) is int and promised != found:
        raise ModelFileRejected(
            f"The {count} parts of {path.name} hold {found} tensors of {promised}: they belong to "
            "different models; copy or download them again."
        )


def remarks(header: GgufHeader, manifest: ModelManifest) -> list[str]:
    """What somebody who adds this model should know, one sentence each."""
    found = []
    if header.chat_template is None and manifest.chat_template is None:
        found.append(
            "It brings no chat template, as base models do: it goes on with texts rather than "
            "answers, and is asked in the form of ChatML. Take its Instruct edition, or set "
            "chat_template."
        )
    if manifest.licence == "unknown":
        found.append("Its file does not name a licence; find out what it may be used for.")
    return found


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


def describe_embedder(
    model_id: str,
    weights: Path,
    sha256: str,
    size_bytes: int,
    configs: Mapping[str, Mapping[str, Any]],
) -> ModelManifest:
    """The manifest of an embedding model's folder. ``configs`` are its JSON files by name."""
    dimensions = configs["1_Pooling/config.json"].get("word_embedding_dimension")
    dimensions = dimensions or configs["config.json"].get("hidden_size")
    context = configs["sentence_bert_config.json"].get("max_seq_length")
    return ModelManifest(
        id=model_id,
        kind="embedding",
        source=FileSource(path=weights),
        sha256=sha256,
        size_bytes=size_bytes,
        description=f"{weights.parent.name}, an embedding model",
        context_length=context if type(context) is int and context > 0 else None,
        dimensions=dimensions if type(dimensions) is int and dimensions > 0 else None,
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
