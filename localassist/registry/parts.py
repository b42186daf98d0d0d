"""Names of the files of a model that is split over several.

llama.cpp is given the first part and finds the others by their names, which end in
``-00001-of-00003.gguf``. Only names here: nothing is read.
"""

from __future__ import annotations

import re
from pathlib import Path

_PART = re.compile(r"(?P<base>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.gguf)", re.I)
_MOST_PARTS = 999


def part_paths(path: Path) -> tuple[Path, ...]:
    """All files of the model that ``path`` belongs to, in order, whether they exist or not; only
    itself where its name is not that of a part."""
    names = part_names(path.name)
    return (path,) if len(names) == 1 else tuple(path.with_name(name) for name in names)


def part_names(name: str) -> tuple[str, ...]:
    """The same for a name alone, which may begin with folders."""
    match = _match(name)
    if match is None:
        return (name,)
    base, count, suffix = match["base"], int(match["count"]), match["suffix"]
    return tuple(f"{base}-{n:05}-of-{count:05}{suffix}" for n in _numbers(count))


def like(path: Path, target: Path) -> tuple[Path, ...]:
    """Where the files of ``path`` go when the model is kept as ``target``, ``<name>.gguf``."""
    count = len(part_paths(path))
    if count == 1:
        return (target,)
    names = [f"{target.stem}-{n:05}-of-{count:05}.gguf" for n in _numbers(count)]
    return tuple(target.with_name(name) for name in names)


def model_name(file_name: str) -> str:
    """The file's name without its ending and without its place among parts."""
    match = _match(file_name)
    return match["base"] if match else re.sub(r"\.gguf$", "", file_name, flags=re.I)


def _match(name: str) -> re.Match[str] | None:
    match = _PART.fullmatch(name)
    if match is None or not 1 <= int(match["number"]) <= int(match["count"]) <= _MOST_PARTS:
        return None
    return match


def _numbers(count: int) -> range:
    return range(1, count + 1)
