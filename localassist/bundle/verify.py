"""Is a bundle whole and unchanged? Every file's presence, size and hash, and nothing besides.

Takes the tar or the unpacked folder. Standard library only: the installer asks this first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from localassist.bundle.files import (
    MANIFEST,
    SIGNATURE,
    SUMS,
    UNLISTED,
    hash_stream,
    read_sums,
    read_whole,
    walk,
)
from localassist.bundle.manifest import Manifest, from_json
from localassist.bundle.signature import check_is_intact, signer_of
from localassist.bundle.tar import TarReader
from localassist.disk import sha256_of
from localassist.errors import BundleError

Progress = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all."""

_NAMED = 5


@dataclass(frozen=True, slots=True)
class Verified:
    """A bundle that is as it was made. ``signer`` is set where a list of signers was given;
    ``id`` tells it from every other bundle."""

    manifest: Manifest
    id: str
    is_signed: bool
    signer: str | None = None


@dataclass(slots=True)
class _Found:
    """What has been read so far of the files that speak about the others."""

    sums_text: bytes = b""
    signature: bytes | None = None
    manifest: Manifest | None = None


def verify(
    path: Path, *, signers: Path | None = None, progress: Progress = lambda done, total: None
) -> Verified:
    """Read all of it. Raises BundleError that names what was changed, is missing or too much, says
    that it is cut short, or that this is no bundle."""
    try:
        found = _verify_folder(path, progress) if path.is_dir() else _verify_tar(path, progress)
    except OSError as error:
        where = error.filename or path
        raise BundleError(f"{where} cannot be read: {error.strerror}.") from error
    return _conclude(found, signers)


def _conclude(found: _Found, signers: Path | None) -> Verified:
    assert found.manifest is not None
    signer = None
    if found.manifest.is_signed and found.signature is None:
        raise BundleError(f"The bundle was signed, and its {SIGNATURE} is missing.")
    if found.signature is not None:
        check_is_intact(found.sums_text, found.signature)
    if signers is not None:
        if found.signature is None:
            raise BundleError(f"The bundle is not signed: it has no {SIGNATURE}.")
        signer = signer_of(found.sums_text, found.signature, signers)
    return Verified(found.manifest, _id_of(found), found.signature is not None, signer)


def _id_of(found: _Found) -> str:
    import hashlib

    return hashlib.sha256(found.sums_text).hexdigest()[:12]


def _verify_tar(path: Path, progress: Progress) -> _Found:
    with path.open("rb") as file:
        if not is_bundle_head(file.read(512)):
            raise BundleError(f"{path} is not a bundle of localassist.")
        total = path.stat().st_size
        reader = TarReader(file, path.name)
        found, sums, left, changed = _Found(), dict[str, str](), list[str](), list[str]()

        def expected(position: int) -> str | None:
            return SUMS if position == 0 else next(iter(left), None)

        for position, entry in enumerate(reader.entries(expected)):
            file.seek(entry.offset)
            if position == 0 or entry.path == SIGNATURE or entry.path == MANIFEST:
                if entry.path == SIGNATURE and found.signature is not None:
                    raise BundleError(f"{SIGNATURE} is in {path.name} twice.")
                content = read_whole(file, entry.path, entry.size_bytes)
                sums = _take(found, entry.path, content, sums)
                if position == 0:
                    left = list(sums)
            elif entry.path not in sums:
                raise BundleError(f"{entry.path} in {path.name} does not belong to the bundle.")
            elif sums[entry.path] != hash_stream(file, entry.size_bytes):
                changed.append(entry.path)
            if entry.path in left:
                left.remove(entry.path)
            elif entry.path not in UNLISTED:
                raise BundleError(f"{entry.path} is in {path.name} twice.")
            progress(entry.offset + entry.size_bytes, total)
    _report(changed, left, path.name)
    return found


def is_bundle_head(block: bytes) -> bool:
    """Whether a file that begins like this may be a bundle's tar, perhaps a damaged one."""
    return SUMS.encode() in block[:100] or b"localassist-" in block[:100]


def _take(found: _Found, path: str, content: bytes, sums: dict[str, str]) -> dict[str, str]:
    """Read one of the files that speak about the others; the sums, as far as known."""
    if path == SUMS:
        found.sums_text = content
        sums = read_sums(content.decode("utf-8", "replace"))
        if MANIFEST not in sums:
            raise BundleError(f"{SUMS} was changed: it does not list {MANIFEST}.")
        return sums
    if not sums:
        raise BundleError(f"This is not a bundle of localassist: it does not begin with {SUMS}.")
    if path == SIGNATURE:
        found.signature = content
        return sums
    found.manifest = _check_manifest(content, sums)
    return sums


def _check_manifest(content: bytes, sums: dict[str, str]) -> Manifest:
    """The manifest, in which the same hashes stand as in the sums: which of the two was changed is
    then known."""
    import hashlib

    if hashlib.sha256(content).hexdigest() != sums.get(MANIFEST):
        raise BundleError(f"{MANIFEST} does not match {SUMS}: one of the two was changed.")
    manifest = from_json(content)
    listed = {file.path: file.sha256 for file in manifest.files}
    for path in [*listed, *(path for path in sums if path != MANIFEST)]:
        if listed.get(path) != sums.get(path):
            raise BundleError(f"{SUMS} was changed: its line of {path} is not as it was made.")
    return manifest


def _verify_folder(folder: Path, progress: Progress) -> _Found:
    if not (folder / SUMS).is_file():
        if (folder / MANIFEST).is_file():
            raise BundleError(f"{folder} is not complete: {SUMS} is missing.")
        raise BundleError(f"{folder} is not a bundle of localassist: it has no {SUMS}.")
    found = _Found()
    sums = _take(found, SUMS, _content(folder, SUMS), {})
    present = set(walk(folder))
    if MANIFEST not in present:
        raise BundleError(f"{folder} is not complete: {MANIFEST} is missing.")
    _take(found, MANIFEST, _content(folder, MANIFEST), sums)
    if SIGNATURE in present:
        _take(found, SIGNATURE, _content(folder, SIGNATURE), sums)
    if strange := sorted(present - set(sums) - set(UNLISTED)):
        raise BundleError(f"{_names(strange)} in {folder} does not belong to the bundle.")
    assert found.manifest is not None
    missing = [path for path in sums if path not in present]
    _report(list(_changed(folder, found.manifest, present, progress)), missing, str(folder))
    return found


def _content(folder: Path, name: str) -> bytes:
    if (folder / name).is_symlink() or not (folder / name).is_file():
        raise BundleError(f"{name} was changed: it is no plain file.")
    with (folder / name).open("rb") as file:
        return read_whole(file, name, (folder / name).stat().st_size)


def _changed(
    folder: Path, manifest: Manifest, present: set[str], progress: Progress
) -> Iterator[str]:
    done, total = 0, sum(file.size_bytes for file in manifest.files)
    for file in manifest.files:
        if file.path in present:
            path = folder / file.path
            is_plain = path.is_file() and not path.is_symlink()
            is_same = is_plain and path.stat().st_size == file.size_bytes
            if not is_same or sha256_of(path) != file.sha256:
                yield file.path
        done += file.size_bytes
        progress(done, total)


def _report(changed: list[str], missing: list[str], where: str) -> None:
    parts = []
    if changed:
        parts.append(f"{_names(changed)} {'was' if len(changed) == 1 else 'were'} changed")
    if missing:
        parts.append(f"{_names(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    if parts:
        raise BundleError(f"{where} is not as it was made: {'; '.join(parts)}.")


def _names(paths: list[str]) -> str:
    named = ", ".join(paths[:_NAMED])
    return named if len(paths) <= _NAMED else f"{named} and {len(paths) - _NAMED} more"
