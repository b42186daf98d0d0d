"""Images of display data: what is let through, by its first bytes. Pure; nothing is decoded."""

from __future__ import annotations

import binascii
from typing import Any

from localassist.sandbox.outputs import Image

# The whole PNG signature and its first chunk; a JPEG's start and its first marker.
_PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_JPEG = b"\xff\xd8\xff"
_AT_ONCE = 1024 * 1024  # characters; whole groups of four. Other threads wait for each piece.


def image_of(data: dict[str, Any]) -> Image | None:
    """The image in a mapping from media type to content, None where there is none that is what it
    says it is."""
    png = _decoded(data.get("image/png"))
    if png is not None and png.startswith(_PNG):
        return Image("image/png", png)
    jpeg = _decoded(data.get("image/jpeg"))
    if jpeg is not None and jpeg.startswith(_JPEG):
        return Image("image/jpeg", jpeg)
    return None


def _decoded(content: object) -> bytes | None:
    if not isinstance(content, str):
        return None
    step = len(content) if "\n" in content else _AT_ONCE
    pieces = range(0, len(content), step or 1)
    try:
        return b"".join(binascii.a2b_base64(content[at : at + step]) for at in pieces)
    except (binascii.Error, ValueError):
        return None
