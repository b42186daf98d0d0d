"""Which files of a folder make up an embedding model in the layout of sentence-transformers.

Knows names only; what a model computes is not its business.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from localassist.errors import ModelFileRejected

_MODULES = "modules.json"
_OTHER_EDITIONS = frozenset({".bin", ".h5", ".msgpack", ".onnx", ".ot", ".gguf"})
"""The same weights for other programs, which hubs put beside those in safetensors."""


def embedder_files(weights: Path) -> tuple[Path, ...]:
    """The files that a model needs on another machine: its weights first, then its tokenizer and
    configurations, those of its modules' folders, and what says how it may be used. Program code is
    never run and left out.

    Raises ModelFileRejected for a ``modules.json`` that names other places or is none.
    """
    found = [
        file
        for folder in (weights.parent, *_module_folders(weights.parent))
        for file in _files(folder)
        if file != weights
    ]
    return (weights, *found)


def _module_folders(folder: Path) -> Iterator[Path]:
    """Folders of modules that have one: some, as those that set the length to 1, have none."""
    for module in _modules(folder / _MODULES):
        name = PurePosixPath(str(module.get("path", "")))
        if name.is_absolute() or ".." in name.parts:
            raise ModelFileRejected(f"{folder / _MODULES} names a folder elsewhere: {name}.")
        if name.parts and (folder / name).is_dir():
            yield folder / name


def _modules(path: Path) -> list[dict[str, object]]:
    try:
        modules = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFileRejected(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(modules, list) or not all(isinstance(each, dict) for each in modules):
        raise ModelFileRejected(f"{path} is not a list of modules.")
    return modules


def _files(folder: Path) -> Iterator[Path]:
    names = sorted(path for path in folder.iterdir() if path.is_file())
    has_safetensors = any(path.suffix == ".safetensors" for path in names)
    for path in names:
        is_other = has_safetensors and path.suffix.lower() in _OTHER_EDITIONS
        if not path.name.startswith(".") and path.suffix != ".py" and not is_other:
            yield path
