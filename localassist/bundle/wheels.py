"""What wheels say of themselves: how much they take installed, their licence, what they need of the
system. Reads files, installs nothing."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from email.parser import BytesParser
from pathlib import Path
from typing import Any

from localassist.bundle.targets import newest_glibc, wheel_glibc
from localassist.errors import BundleError

_BLOCK_BYTES = 4096
_GLIBC = re.compile(rb"GLIBC_(2\.\d+)\0")
_LICENCE_NAMES = re.compile(r"(licen[cs]e|copying|notice|authors)[^/]*\Z", re.IGNORECASE)
_MOST_LICENCE_BYTES = 2**20


def check_wheel(path: Path) -> None:
    """BundleError where a file is no whole wheel."""
    try:
        with zipfile.ZipFile(path) as wheel:
            names = wheel.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise BundleError(f"{path} is not a wheel: {error}.") from error
    if not any(name.endswith(".dist-info/METADATA") for name in names):
        raise BundleError(f"{path} is not a wheel: it has no metadata.")


def installed_bytes(path: Path) -> int:
    """What the files take on disk, with the compiled form of Python's."""
    with zipfile.ZipFile(path) as wheel:
        entries = [(entry.filename, entry.file_size) for entry in wheel.infolist()]
    compiled = [(name, size) for name, size in entries if name.endswith(".py")]
    return sum(_BLOCK_BYTES * (1 + size // _BLOCK_BYTES) for _, size in [*entries, *compiled])


def metadata_of(path: Path) -> Mapping[str, Any]:
    """The fields of ``METADATA`` that are asked for here, by the names pip's reports have."""
    with zipfile.ZipFile(path) as wheel:
        name = next(n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
        fields = BytesParser().parsebytes(wheel.read(name), headersonly=True)
    return {
        "name": fields["Name"],
        "version": fields["Version"],
        "license_expression": fields["License-Expression"],
        "license": fields["License"],
        "classifier": fields.get_all("Classifier") or [],
    }


def licence_of(metadata: Mapping[str, Any]) -> str:
    """The licence in a few words, as the package declares it."""
    if metadata.get("license_expression"):
        return str(metadata["license_expression"])
    trove = [text for text in metadata.get("classifier", ()) if text.startswith("License ::")]
    if trove:
        return "; ".join(text.rpartition(" :: ")[2] for text in trove)
    lines = str(metadata.get("license") or "").strip().splitlines()
    return lines[0][:100] if lines else "see the package"


def licence_text(path: Path) -> str:
    """The texts of licences and notices that a wheel carries, one behind the other."""
    with zipfile.ZipFile(path) as wheel:
        parts = [
            f"---- {entry.filename}\n\n{wheel.read(entry).decode('utf-8', 'replace').strip()}\n"
            for entry in wheel.infolist()
            if ".dist-info/" in entry.filename
            and _LICENCE_NAMES.search(entry.filename)
            and entry.file_size <= _MOST_LICENCE_BYTES
        ]
    return "\n".join(parts)


def needed_glibc(path: Path) -> str:
    """The oldest C library that a wheel runs with: as its name says, or, where it was built for one
    machine, as its libraries ask."""
    if named := wheel_glibc(path.name):
        return named
    if "-any" in path.name:
        return ""
    return newest_glibc([v.decode() for blob in _libraries(path) for v in _GLIBC.findall(blob)])


def needed_libraries(path: Path) -> tuple[str, ...]:
    """Which of the libraries that compilers link against a wheel asks the system for."""
    known = ("libgomp.so.1", "libstdc++.so.6")
    blobs = list(_libraries(path))
    return tuple(name for name in known if any(name.encode() + b"\0" in blob for blob in blobs))


def _libraries(path: Path) -> Iterator[bytes]:
    with zipfile.ZipFile(path) as wheel:
        for entry in wheel.infolist():
            if ".so" in Path(entry.filename).name:
                yield wheel.read(entry)
