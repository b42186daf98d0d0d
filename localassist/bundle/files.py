"""Files of a bundle: their names, their hashes, and the list that ``sha256sum -c`` reads.

Standard library only: the installer runs this before anything is installed.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO

from localassist.errors import BundleError

MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
SIGNATURE = "SHA256SUMS.sig"
INSTALL_SH = "install.sh"
INSTALL_PY = "install.py"
WHEELS = "wheels"
KERNEL = "kernel"
MODELS = "models"
DOCS = "docs"
LICENCES = "licences"
EXTRA = "extra"

UNLISTED = (SUMS, SIGNATURE)
"""What the sums cannot list: themselves, and the signature over them."""

CHUNK_BYTES = 2**20
_LINE = re.compile(r"([0-9a-f]{64})  ([^\0\n]+)")


def hash_stream(stream: IO[bytes], size_bytes: int | None = None) -> str:
    """SHA-256 of what is left in the stream, or of its next bytes, as hex digits."""
    digest = hashlib.sha256()
    for chunk in chunks(stream, size_bytes):
        digest.update(chunk)
    return digest.hexdigest()


def hash_path(path: Path) -> str:
    with path.open("rb") as file:
        return hash_stream(file)


def chunks(stream: IO[bytes], size_bytes: int | None = None) -> Iterator[bytes]:
    """What is left in the stream, or its next bytes, piece by piece; fewer where it ends."""
    left = size_bytes
    while left is None or left > 0:
        chunk = stream.read(CHUNK_BYTES if left is None else min(left, CHUNK_BYTES))
        if not chunk:
            return
        yield chunk
        if left is not None:
            left -= len(chunk)


def to_sums(hashes: Mapping[str, str]) -> str:
    """The list in the form of ``sha256sum``, in the order of the mapping."""
    return "".join(f"{sha256}  {path}\n" for path, sha256 in hashes.items())


def read_sums(text: str) -> dict[str, str]:
    """Hashes by path, in the order of the list. Raises BundleError that names a damaged line."""
    hashes: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        found = _LINE.fullmatch(line)
        if found is None or not is_inside(found[2]) or found[2] in hashes:
            raise BundleError(f"{SUMS} was changed: its line {number} is not one of a bundle.")
        hashes[found[2]] = found[1]
    if not text.endswith("\n"):
        raise BundleError(f"{SUMS} was changed or cut short: its last line has no end.")
    return hashes


def is_inside(path: str) -> bool:
    """Whether a path of a list stays inside the bundle and is written in one way only."""
    pure = PurePosixPath(path)
    return not pure.is_absolute() and ".." not in pure.parts and str(pure) == path != "."


def walk(folder: Path) -> Iterator[str]:
    """Every path below the folder that is not a folder itself, relative, in order."""
    for name, folders, files in os.walk(folder):
        folders.sort()
        links = [entry for entry in folders if (Path(name) / entry).is_symlink()]
        for entry in sorted([*files, *links]):
            yield (Path(name) / entry).relative_to(folder).as_posix()


def megabytes(size_bytes: int) -> str:
    """Bytes for people."""
    return f"{size_bytes / 1e6:,.1f} MB" if size_bytes < 1e7 else f"{size_bytes / 1e6:,.0f} MB"
