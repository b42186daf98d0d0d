"""What a bundle says of itself: ``manifest.json``.

Standard library only: the installer reads it before anything is installed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar, get_type_hints

from localassist.bundle.files import MANIFEST, is_inside, spelled
from localassist.errors import BundleError

FORMAT = 1
"""Raised when an older installer could not install what a newer ``create`` writes."""

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]*")
"""What becomes part of names of folders and files."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PackedFile:
    """One file. ``group`` is the folder it lies in, empty for those at the top."""

    path: str
    size_bytes: int
    sha256: str

    @property
    def group(self) -> str:
        return self.path.partition("/")[0] if "/" in self.path else ""


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """One kind of machine that the bundle can be installed on.

    ``requirements`` pins every package with its hash. ``glibc`` is the oldest C library that all
    wheels run with, ``cpu_flags`` what llama.cpp was compiled for, as ``/proc/cpuinfo`` names it,
    ``libraries`` what it needs of the system. ``installed_bytes`` is what the packages take on
    disk, ``kernel_bytes`` the code interpreter's.
    """

    platform: str
    python: str
    requirements: str
    glibc: str
    cpu: str
    cpu_flags: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    has_kernel: bool = False
    installed_bytes: int = 0
    kernel_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Licence:
    """Whose terms a package or model comes under; ``files`` are the texts in the bundle."""

    name: str
    version: str
    licence: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """A bundle. ``created_at`` is in whole UTC seconds; ``models`` are the ids of those that the
    user had added, ``schema`` is the newest revision of the database. ``is_signed`` says that there
    must be a signature."""

    localassist: str
    created_at: int
    targets: tuple[TargetFacts, ...]
    files: tuple[PackedFile, ...]
    licences: tuple[Licence, ...] = ()
    models: tuple[str, ...] = ()
    schema: str = ""
    is_signed: bool = False
    format: int = field(default=FORMAT)

    def size_of(self, group: str) -> int:
        return sum(file.size_bytes for file in self.files if file.group == group)


def to_json(manifest: Manifest) -> str:
    return json.dumps(asdict(manifest), ensure_ascii=False, indent=1) + "\n"


def from_json(text: str | bytes) -> Manifest:
    """Raises BundleError for what is no manifest, and for one of a newer localassist."""
    try:
        values = json.loads(text)
    except ValueError as error:
        raise BundleError(f"{MANIFEST} was changed or cut short: it is not JSON.") from error
    if not isinstance(values, dict) or not isinstance(values.get("format"), int):
        raise BundleError(f"{MANIFEST} is not that of a bundle: it does not name its format.")
    if values["format"] > FORMAT:
        raise BundleError(
            f"The bundle has format {values['format']}, made by a newer localassist "
            f"({values.get('localassist', 'unknown')}); this one knows {FORMAT}. Use the "
            "install.sh that lies in the bundle."
        )
    try:
        manifest = _build(Manifest, values)
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{MANIFEST} was changed: {error}.") from error
    if outside := next((file.path for file in manifest.files if not is_inside(file.path)), None):
        raise BundleError(f"{MANIFEST} was changed: {spelled(outside)} is not a path in a bundle.")
    names = [manifest.localassist, *manifest.models, *filter(None, [manifest.schema])]
    if odd := next((name for name in names if not _PLAIN.fullmatch(name)), None):
        raise BundleError(f"{MANIFEST} was changed: {spelled(odd)!r} is no name or version.")
    packed = {file.path for file in manifest.files}
    if lost := next((t for t in manifest.targets if t.requirements not in packed), None):
        raise BundleError(
            f"{MANIFEST} was changed: {spelled(lost.requirements)} is not a file of the bundle."
        )
    return manifest


def _build(kind: type[T], values: Mapping[str, Any]) -> T:
    """A record from its JSON object, with the types checked that its fields are declared with."""
    hints = get_type_hints(kind)
    if unknown := set(values) - set(hints):
        raise ValueError(f"{kind.__name__} has no field {sorted(unknown)[0]!r}")
    fields = {name: _value(hints[name], name, value) for name, value in values.items()}
    return kind(**fields)


def _value(hint: Any, name: str, value: Any) -> Any:
    items = getattr(hint, "__args__", None)
    if items:
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise ValueError(f"{name} is not a list")
        return tuple(_value(items[0], name, item) for item in value)
    if hint in (PackedFile, TargetFacts, Licence):
        if not isinstance(value, dict):
            raise ValueError(f"{name} is not a list of objects")
        return _build(hint, value)
    if type(value) is not hint:
        raise ValueError(f"{name} is not of type {hint.__name__}")
    return value
