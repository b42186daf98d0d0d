"""A segment as a folder of files, each with a checksum."""

from __future__ import annotations

import io
import json
import os
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from localassist.errors import IndexUnavailable
from localassist.retrieval.documents import Place
from localassist.retrieval.segment import Segment

if TYPE_CHECKING:
    from numpy.typing import NDArray

DAMAGED = (FileNotFoundError, ValueError, KeyError, TypeError)
"""What reading a segment raises where it is not there as it was written."""

_FORMAT = 1
_MARK_EVERY = 1024
_MAPPED_FROM_BYTES = 8 * 2**20  # smaller ones are read: a mapping holds a file descriptor open


def segment_folder(root: Path, key: str) -> Path:
    """Where a segment is kept, if it is."""
    return root / key[:2] / key


def write_segment(folder: Path, segment: Segment) -> None:
    """All files of a segment, on disk when this returns; ``meta.json`` names the others' sums."""
    text = segment.text
    marks, raw = _encoded(text)
    contents = {
        "text.txt": raw,
        "marks.npy": _packed(marks),
        "units.npy": _packed(np.asarray(segment.units, dtype=np.int32)),
        "vectors.npy": _packed(np.asarray(segment.vectors, dtype=np.float32)),
        "norms.npy": _packed(np.asarray(segment.norms, dtype=np.float32)),
    }
    meta = {
        "format": _FORMAT,
        "key": segment.key,
        "language": segment.language,
        "embedder_id": segment.embedder_id,
        "length": len(text),
        "units": len(segment),
        "places": [asdict(place) for place in segment.places],
        "checksums": {name: zlib.crc32(content) for name, content in contents.items()},
    }
    contents["meta.json"] = json.dumps({**meta, "checksum": _checksum(meta)}).encode()
    for name, content in contents.items():
        with (folder / name).open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def read_segment(folder: Path, key: str) -> Segment:
    """All of it, compared with its checksums. Raises one of ``DAMAGED``, and other OSErrors where
    the disk refuses."""
    meta = json.loads((folder / "meta.json").read_bytes())
    checksum = meta.pop("checksum") if isinstance(meta, dict) else None
    if checksum != _checksum(meta) or (meta["format"], meta["key"]) != (_FORMAT, key):
        raise ValueError("meta.json is damaged")
    sums = meta["checksums"]
    arrays = {
        name: _array(folder / f"{name}.npy", sums[f"{name}.npy"])
        for name in ("marks", "units", "vectors", "norms")
    }
    if zlib.crc32((folder / "text.txt").read_bytes()) != sums["text.txt"]:
        raise ValueError("text.txt is damaged")
    return Segment(
        key,
        StoredText(folder / "text.txt", arrays["marks"], meta["length"]),
        [Place(**place) for place in meta["places"]],
        meta["language"],
        meta["embedder_id"],
        arrays["units"],
        arrays["vectors"],
        arrays["norms"],
    )


class StoredText:
    """A text on disk of which stretches are read; ``marks`` are the byte positions of every 1024th
    code point, and of the end."""

    def __init__(self, path: Path, marks: NDArray[np.int64], length: int) -> None:
        self._path = path
        self._marks = marks
        self._length = length

    def read(self, start: int, end: int) -> str:
        """``text[start:end]``, 0 ≤ start. IndexUnavailable when the file is gone."""
        end = min(end, self._length)
        if start >= end:
            return ""
        first, last = start // _MARK_EVERY, -(-end // _MARK_EVERY)
        try:
            with self._path.open("rb") as file:
                file.seek(int(self._marks[first]))
                raw = file.read(int(self._marks[last] - self._marks[first]))
        except OSError as error:
            raise IndexUnavailable("A file was removed while it was being searched.") from error
        offset = first * _MARK_EVERY
        return raw.decode("utf-8", "surrogatepass")[start - offset : end - offset]

    def __len__(self) -> int:
        return self._length


def _checksum(meta: Any) -> int:
    return zlib.crc32(json.dumps(meta, sort_keys=True).encode())


def _array(path: Path, checksum: int) -> NDArray[Any]:
    """A ``.npy`` file; large ones stay on disk. Raises ValueError for a damaged one."""
    if path.stat().st_size >= _MAPPED_FROM_BYTES:
        if zlib.crc32(np.memmap(path, dtype=np.uint8, mode="r").data) != checksum:
            raise ValueError(f"{path.name} is damaged")
        mapped: NDArray[Any] = np.load(path, mmap_mode="r")
        return mapped
    raw = path.read_bytes()
    if zlib.crc32(raw) != checksum:
        raise ValueError(f"{path.name} is damaged")
    array: NDArray[Any] = np.load(io.BytesIO(raw))
    return array


def _packed(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _encoded(text: str) -> tuple[NDArray[np.int64], bytes]:
    """The marks of ``StoredText``, and the text as UTF-8."""
    parts = [
        text[at : at + _MARK_EVERY].encode("utf-8", "surrogatepass")
        for at in range(0, len(text), _MARK_EVERY)
    ]
    marks = np.zeros(len(parts) + 1, dtype=np.int64)
    np.cumsum([len(part) for part in parts], out=marks[1:])
    return marks, b"".join(parts)
