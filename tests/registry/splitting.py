"""Cuts a real GGUF file into parts, as llama.cpp's gguf-split does."""

from __future__ import annotations

import struct
from pathlib import Path

from localassist.registry import gguf
from tests.registry.gguf_files import tensor, text

_ALIGNMENT = 32


def split(path: Path, folder: Path, count: int, name: str = "split") -> list[Path]:
    """The parts of the model, about equally many tensors in each."""
    data = path.read_bytes()
    with path.open("rb") as file:
        reader = gguf._HeaderReader(file, path.name, len(data))
        reader._read_preamble()
        tensor_count, metadata_count = reader._number(gguf._U64), reader._number(gguf._U64)
        start = reader._position
        for _ in range(metadata_count):
            reader._text(gguf._MAX_KEY_BYTES)
            reader._value(reader._number(gguf._U32))
        metadata = data[start : reader._position]
        tensors = []
        for _ in range(tensor_count):
            title = reader._text(gguf._MAX_KEY_BYTES)
            shape = [reader._number(gguf._U64) for _ in range(reader._number(gguf._U32))]
            tensors.append((title, shape, reader._number(gguf._U32), reader._number(gguf._U64)))
    weights = data[-(-reader._position // _ALIGNMENT) * _ALIGNMENT :]
    ends = sorted([*(offset for *_, offset in tensors), len(weights)])
    parts = []
    for number in range(count):
        own = tensors[number * tensor_count // count : (number + 1) * tensor_count // count]
        infos, bodies, offset = b"", b"", 0
        for title, shape, kind, place in own:
            body = weights[place : ends[ends.index(place) + 1]]
            body += b"\0" * (-len(body) % _ALIGNMENT)
            infos += tensor(title, shape, kind, offset)
            bodies += body
            offset += len(body)
        facts = text("split.no") + struct.pack("<IH", 2, number)
        facts += text("split.count") + struct.pack("<IH", 2, count)
        facts += text("split.tensors.count") + struct.pack("<Ii", 5, tensor_count)
        entries = 3 + (metadata_count if number == 0 else 0)
        header = b"GGUF" + struct.pack("<IQQ", 3, len(own), entries)
        header += facts + (metadata if number == 0 else b"") + infos
        part = folder / f"{name}-{number + 1:05}-of-{count:05}.gguf"
        part.write_bytes(header + b"\0" * (-len(header) % _ALIGNMENT) + bodies)
        parts.append(part)
    return parts
