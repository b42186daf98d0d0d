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

from localassist.disk import chunks
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

_MOST_WHOLE_BYTES = 64 * 2**20
_LINE = re.compile(r"([0-9a-f]{64})  ([^\0\n]+)")


def hash_stream(stream: IO[bytes], size_bytes: int | None = None) -> str:
    """SHA-256 of what is left in the stream, or of its next bytes, as hex digits."""
    digest = hashlib.sha256()
    for chunk in chunks(stream, size_bytes):
        digest.update(chunk)
    return digest.hexdigest()


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


def spelled(text: str) -> str:
    """Names of others in a message: what could act on a terminal is spelled out."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def walk(folder: Path) -> Iterator[str]:
    """Every path below the folder that is not a folder itself, relative, in order."""
    for name, folders, files in os.walk(folder):
        folders.sort()
        links = [entry for entry in folders if (Path(name) / entry).is_symlink()]
        for entry in sorted([*files, *links]):
            yield (Path(name) / entry).relative_to(folder).as_posix()


def read_whole(stream: IO[bytes], path: str, size_bytes: int) -> bytes:
    """One of the files that speak about the others. Raises BundleError for one that no bundle
    has: the claim of a size, or a file of holes, costs nothing."""
    if size_bytes > _MOST_WHOLE_BYTES:
        raise BundleError(f"{path} was changed: it is too large ({size_bytes:,} bytes).")
    return stream.read(size_bytes)
