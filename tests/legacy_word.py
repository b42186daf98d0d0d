"""Writes Word 97 files: a compound file with a text stream and a table of its pieces."""

from __future__ import annotations

import struct

SECTOR = 512
FREE, END, FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
ROOT, STREAM = 5, 2
# Shorter streams would have to go into the short-sector container.
SHORTEST = 4096
COMPRESSED = 1 << 30


def doc(text: str, *, is_encrypted: bool = False) -> bytes:
    """``text`` in two pieces, as Word saves it after an edit: its first half in UTF-16, the rest
    with one byte a character where cp1252 has them all. ``\\n`` ends a paragraph."""
    text = text.replace("\n", "\r") + "\r"
    half = len(text) // 2
    start = 1024
    first = text[:half].encode("utf-16-le")
    try:
        second, mark = text[half:].encode("cp1252"), COMPRESSED
        offset = (start + len(first)) * 2
    except UnicodeEncodeError:
        second, mark = text[half:].encode("utf-16-le"), 0
        offset = start + len(first)
    pieces = struct.pack("<3I", 0, half, len(text))
    pieces += struct.pack("<HIH", 0, start, 0) + struct.pack("<HIH", 0, offset | mark, 0)
    table = b"\x02" + struct.pack("<I", len(pieces)) + pieces

    header = bytearray(start)
    struct.pack_into("<HH", header, 0, 0xA5EC, 193)
    struct.pack_into("<H", header, 0x0A, 0x0200 | (0x0100 if is_encrypted else 0))
    struct.pack_into("<I", header, 0x4C, len(text))
    struct.pack_into("<2I", header, 0x1A2, 0, len(table))
    return compound_file({"WordDocument": bytes(header) + first + second, "1Table": table})


def compound_file(streams: dict[str, bytes]) -> bytes:
    """An OLE file with these streams in its root; each is padded to whole sectors."""
    bodies = {name: _padded(content) for name, content in streams.items()}
    table = [FAT, *[END] * 1]
    entries = [_entry("Root Entry", ROOT, END, 0, child=1)]
    for number, (name, body) in enumerate(bodies.items(), 1):
        count = len(body) // SECTOR
        following = number + 1 if number < len(bodies) else FREE
        entries.append(_entry(name, STREAM, len(table), len(body), right=following))
        table += [*range(len(table) + 1, len(table) + count), END]
    assert len(table) <= SECTOR // 4 and len(entries) <= 4, "too large for this small writer"
    table += [FREE] * (SECTOR // 4 - len(table))
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    header += struct.pack("<5H6x", 0x3E, 3, 0xFFFE, 9, 6)
    header += struct.pack("<9I", 0, 1, 1, 0, SHORTEST, END, 0, END, 0)
    header += struct.pack("<109I", 0, *[FREE] * 108)
    directory = b"".join(entries).ljust(SECTOR, b"\0")
    return header + struct.pack("<128I", *table) + directory + b"".join(bodies.values())


def _padded(content: bytes) -> bytes:
    size = max(SHORTEST, -(-len(content) // SECTOR) * SECTOR)
    return content.ljust(size, b"\0")


def _entry(
    name: str, kind: int, start: int, size: int, *, child: int = FREE, right: int = FREE
) -> bytes:
    encoded = name.encode("utf-16-le") + b"\0\0"
    entry = encoded.ljust(64, b"\0") + struct.pack("<HBB", len(encoded), kind, 1)
    entry += struct.pack("<3I", FREE, right, child) + bytes(36)
    return entry + struct.pack("<IQ", start, size)
