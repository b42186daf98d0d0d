"""Reads the header of a GGUF file: enough to say what the model is and whether the file is whole.

The file is not trusted: every count and length is checked against the bytes that are left before
anything is read or allocated. Weights are never read, and arrays (vocabulary, merges) are walked
but not kept. Layout: magic, version, tensor and metadata counts, metadata, tensor descriptions,
padding, weights; all little-endian.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from localassist.errors import ModelFileRejected

Scalar = str | int | float | bool

MAGIC = b"GGUF"
_START_BYTES = 60
# How other files begin that people take for models, and what to do.
_OTHERS = (
    (rb"version https://git-lfs", "it is git's stand-in for one; run git lfs pull, or download it"),
    (rb"(?i)\s*<(!doctype|html|\?xml)", "it is a web page, perhaps of a login; download it again"),
    (rb"(lmgg|fmgg|tjgg|algg)", "it is in a format that llama.cpp has given up; get a new edition"),
    (rb"PK\x03\x04", "it is a ZIP archive or PyTorch's format; get the edition in GGUF format"),
    (rb"(?s).{8}\{\"", "it is in safetensors format; get the edition in GGUF format"),
)
_VERSIONS = (2, 3)
_MAX_KEY_BYTES = 65_535
_MAX_STRING_BYTES = 16 * 2**20
_MAX_ENTRIES = 2**20
_MAX_STRINGS_IN_ARRAY = 2**24
_MAX_DIMENSIONS = 4
_DEFAULT_ALIGNMENT = 32

_STRING, _ARRAY = 8, 9
_SCALARS = {
    code: struct.Struct("<" + letter)
    for code, letter in {
        0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"
    }.items()
}  # fmt: skip
_U32, _U64 = _SCALARS[4], _SCALARS[10]

# Tensor type: (elements in a block, bytes of a block). A type that is missing here is newer than
# this table; its tensors then count from their offset only.
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    9: (32, 36), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
    15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18),
    21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8),
    28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
    40: (64, 36), 41: (128, 18), 42: (64, 18),
}  # fmt: skip

_FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K",
    11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S",
    17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS",
    23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M",
    30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What the header says. ``metadata`` holds its scalars and strings; ``required_bytes`` is the
    size below which the file cannot hold the tensors it describes."""

    version: int
    tensor_count: int
    metadata: Mapping[str, Scalar]
    required_bytes: int

    @property
    def architecture(self) -> str:
        return self._text("general.architecture") or "unknown"

    @property
    def name(self) -> str | None:
        return self._text("general.name")

    @property
    def licence(self) -> str | None:
        return self._text("general.license")

    @property
    def size_label(self) -> str | None:
        return self._text("general.size_label")

    @property
    def chat_template(self) -> str | None:
        return self._text("tokenizer.chat_template")

    @property
    def context_length(self) -> int | None:
        return self._count(f"{self.architecture}.context_length")

    @property
    def part_count(self) -> int:
        """More than one where a model is split over several files."""
        return self._count("split.count") or 1

    @property
    def part_number(self) -> int:
        """Which of those parts this is, from 0."""
        return self._count("split.no") or 0

    @property
    def quantization(self) -> str | None:
        file_type = self._count("general.file_type")
        return None if file_type is None else _FILE_TYPES.get(file_type)

    def _text(self, key: str) -> str | None:
        value = self.metadata.get(key)
        return value if isinstance(value, str) and value else None

    def _count(self, key: str) -> int | None:
        value = self.metadata.get(key)
        return value if type(value) is int and value >= 0 else None


def read_header(path: Path) -> GgufHeader:
    """The header of the GGUF file at ``path``.

    Raises ModelFileRejected when it is not one, is damaged, or is shorter than it promises.
    """
    try:
        with path.open("rb", buffering=2**20) as file:
            size_bytes = os.fstat(file.fileno()).st_size
            header = _HeaderReader(file, path.name, size_bytes).read()
    except OSError as error:
        raise ModelFileRejected(f"{path.name} cannot be read: {error.strerror}.") from error
    if header.required_bytes > size_bytes:
        raise ModelFileRejected(
            f"{path.name} is truncated: its header promises at least {header.required_bytes:,} "
            f"bytes, the file has {size_bytes:,}; copy or download it again."
        )
    return header


class _HeaderReader:
    """One pass over one header. ``_position`` is counted here so that no call asks the file."""

    def __init__(self, file: BinaryIO, name: str, size_bytes: int) -> None:
        self._file = file
        self._name = name
        self._size_bytes = size_bytes
        self._position = 0

    def read(self) -> GgufHeader:
        version = self._read_preamble()
        tensor_count = self._entry_count("tensors")
        metadata_count = self._entry_count("metadata entries")
        metadata: dict[str, Scalar] = {}
        seen: set[str] = set()
        for _ in range(metadata_count):
            key = self._text(_MAX_KEY_BYTES)
            if key in seen:
                raise self._damaged(f"the metadata key {key!r} appears twice")
            seen.add(key)
            value = self._value(self._number(_U32))
            if value is not None:
                metadata[key] = value
        required_bytes = self._required_bytes(tensor_count, self._alignment(metadata))
        return GgufHeader(version, tensor_count, metadata, required_bytes)

    def _read_preamble(self) -> int:
        if self._size_bytes == 0:
            raise ModelFileRejected(f"{self._name} is empty; copy or download it again.")
        magic = self._file.read(len(MAGIC))
        if magic != MAGIC:
            start = magic + self._file.read(_START_BYTES)
            known = next((what for sign, what in _OTHERS if re.match(sign, start)), None)
            what = known or f"it starts with the bytes {magic!r}; give a model in GGUF format"
            raise ModelFileRejected(f"{self._name} is not a GGUF file: {what}.")
        self._position = len(MAGIC)
        version = self._number(_U32)
        if version in _VERSIONS:
            return version
        if int.from_bytes(version.to_bytes(4, "little"), "big") in _VERSIONS:
            raise ModelFileRejected(
                f"{self._name} is a big-endian GGUF file; get the little-endian edition."
            )
        if version > max(_VERSIONS):
            raise ModelFileRejected(
                f"{self._name} has GGUF version {version}, which is newer than this localassist; "
                "update localassist, or get an edition in version 3."
            )
        raise ModelFileRejected(
            f"{self._name} has GGUF version {version}, and only versions 2 and 3 can be read; "
            "get or convert a current edition of the model."
        )

    def _entry_count(self, what: str) -> int:
        count = self._number(_U64)
        if count > _MAX_ENTRIES:
            raise self._damaged(f"it claims {count:,} {what}")
        return count

    def _alignment(self, metadata: Mapping[str, Scalar]) -> int:
        alignment = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
        if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
            raise self._damaged(f"its alignment is {alignment!r}, not a power of two")
        return alignment

    def _required_bytes(self, tensor_count: int, alignment: int) -> int:
        """The smallest file size that holds every described tensor."""
        end = 0
        for _ in range(tensor_count):
            name = self._text(_MAX_KEY_BYTES)
            dimension_count = self._number(_U32)
            if dimension_count > _MAX_DIMENSIONS:
                raise self._damaged(f"tensor {name!r} has {dimension_count:,} dimensions")
            elements = row = 1
            for index in range(dimension_count):
                length = self._number(_U64)
                elements *= length
                row = length if index == 0 else row
            block_elements, block_bytes = _BLOCKS.get(self._number(_U32), (1, 0))
            offset = self._number(_U64)
            if row % block_elements or offset % alignment:
                raise self._damaged(f"tensor {name!r} does not lie on block boundaries")
            end = max(end, offset + elements // block_elements * block_bytes)
        return -(-self._position // alignment) * alignment + end if end else self._position

    def _value(self, code: int) -> Scalar | None:
        """The metadata value of type ``code``; None for an array, which is walked over."""
        if code == _STRING:
            return self._text(_MAX_STRING_BYTES)
        if code == _ARRAY:
            self._skip_array()
            return None
        scalar: Scalar = self._unpack(self._scalar_type(code))
        return scalar

    def _skip_array(self) -> None:
        code = self._number(_U32)
        count = self._number(_U64)
        if code != _STRING:
            self._skip(count * self._scalar_type(code).size)
            return
        if count > _MAX_STRINGS_IN_ARRAY:
            raise self._damaged(f"it claims an array of {count:,} strings")
        for _ in range(count):
            self._skip(self._number(_U64))

    def _scalar_type(self, code: int) -> struct.Struct:
        try:
            return _SCALARS[code]
        except KeyError:
            raise self._damaged(f"a metadata value has the unknown type {code}") from None

    def _text(self, limit_bytes: int) -> str:
        length = self._number(_U64)
        if length > limit_bytes:
            raise self._damaged(f"it claims a string of {length:,} bytes")
        return self._take(length).decode("utf-8", "replace")

    def _number(self, kind: struct.Struct) -> int:
        number: int = self._unpack(kind)
        return number

    def _unpack(self, kind: struct.Struct) -> Any:
        return kind.unpack(self._take(kind.size))[0]

    def _take(self, count: int) -> bytes:
        self._claim(count)
        taken = self._file.read(count)
        if len(taken) < count:
            raise self._damaged("it has become shorter while it was read")
        return taken

    def _skip(self, count: int) -> None:
        self._claim(count)
        self._file.seek(count, os.SEEK_CUR)

    def _claim(self, count: int) -> None:
        if count > self._size_bytes - self._position:
            raise self._damaged(f"its header goes on after the file's {self._size_bytes:,} bytes")
        self._position += count

    def _damaged(self, what: str) -> ModelFileRejected:
        return ModelFileRejected(
            f"{self._name} is truncated or damaged: {what}; copy or download it again."
        )
