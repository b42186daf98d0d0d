"""The bytes of tiny GGUF files, honest or not."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def value(item: Any) -> bytes:
    if isinstance(item, bool):
        return struct.pack("<I?", 7, item)
    if isinstance(item, int):
        return struct.pack("<IQ", 10, item)
    if isinstance(item, float):
        return struct.pack("<If", 6, item)
    if isinstance(item, str):
        return struct.pack("<I", 8) + text(item)
    if isinstance(item, bytes):  # written as it is: the tests' way to lie
        return item
    if item and isinstance(item[0], str):
        return struct.pack("<IIQ", 9, 8, len(item)) + b"".join(map(text, item))
    return struct.pack("<IIQ", 9, 5, len(item)) + struct.pack(f"<{len(item)}i", *item)


def tensor(name: str, shape: Sequence[int], type_code: int, offset: int) -> bytes:
    header = text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
    return header + struct.pack("<IQ", type_code, offset)


LLAMA: Mapping[str, Any] = {
    "general.architecture": "llama",
    "general.name": "Tiny",
    "general.size_label": "1K",
    "general.license": "mit",
    "general.file_type": 2,
    "llama.context_length": 512,
    "llama.rope.freq_base": 10000.0,
    "tokenizer.ggml.add_bos_token": True,
    "tokenizer.ggml.tokens": ["<s>", "a", "b"],
    "tokenizer.ggml.token_type": [3, 1, 1],
    "tokenizer.chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}",
}


def gguf(
    *,
    metadata: Mapping[str, Any] | None = None,
    tensors: Sequence[bytes] | None = None,
    version: int = 3,
    weights_bytes: int = 64 + 18,
    metadata_count: int | None = None,
    tensor_count: int | None = None,
    **changes: Any,
) -> bytes:
    """A whole little model of two tensors; keyword arguments change it, ``__`` standing for a dot
    in further metadata keys."""
    entries = dict(LLAMA if metadata is None else metadata)
    entries |= {key.replace("__", "."): item for key, item in changes.items()}
    if tensors is None:
        tensors = [tensor("a", (4, 4), 0, 0), tensor("b", (32,), 2, 64)]
    header = b"GGUF" + struct.pack("<I", version)
    header += struct.pack("<Q", len(tensors) if tensor_count is None else tensor_count)
    header += struct.pack("<Q", len(entries) if metadata_count is None else metadata_count)
    header += b"".join(text(key) + value(item) for key, item in entries.items())
    header += b"".join(tensors)
    return header + b"\0" * (-len(header) % 32) + b"\1" * weights_bytes


def split_gguf(name: str, count: int) -> dict[str, bytes]:
    """The parts of a little model, as llama.cpp's splitter writes them: all metadata in the first,
    and one tensor in each."""
    parts = {}
    for number in range(count):
        facts = {"split.no": number, "split.count": count, "split.tensors.count": count}
        metadata = {**(LLAMA if number == 0 else {}), **facts}
        tensors = [tensor(f"t{number}", (32,), 0, 0)]
        content = gguf(metadata=metadata, tensors=tensors, weights_bytes=128)
        parts[f"{name}-{number + 1:05}-of-{count:05}.gguf"] = content
    return parts
