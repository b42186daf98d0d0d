"""Pictures for terminals that show them, as the control sequences of each protocol.

Everything sent has been decoded and encoded anew: no byte of the file reaches the terminal.
"""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

_CHUNK = 4096  # characters of a command of kitty, which takes no more
_BAND = 6  # rows of pixels in one row of sixels


def kitty(image: Image, columns: int, rows: int) -> str:
    """https://sw.kovidgoyal.net/kitty/graphics-protocol/: a PNG over so many cells, no reply."""
    data = base64.b64encode(_png(image)).decode("ascii")
    chunks = [data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK)]
    commands = []
    for number, chunk in enumerate(chunks):
        begin = f"a=T,f=100,q=2,c={columns},r={rows}," if number == 0 else ""
        is_more = int(number < len(chunks) - 1)
        commands.append(f"\x1b_G{begin}m={is_more};{chunk}\x1b\\")
    return "".join(commands)


def iterm2(image: Image, columns: int, rows: int) -> str:
    """https://iterm2.com/documentation-images.html"""
    png = _png(image)
    options = f"inline=1;size={len(png)};width={columns};height={rows}"
    return f"\x1b]1337;File={options}:{base64.b64encode(png).decode('ascii')}\x07"


def sixel(image: Image, columns: int, rows: int) -> str:
    """Sixels of DEC's VT340, 256 colours; the size is that of the image in pixels."""
    import numpy as np

    indexed = image.quantize(256)
    palette = (indexed.getpalette() or [])[: 3 * 256]
    pixels = np.asarray(indexed)
    height, width = pixels.shape
    parts = [f'\x1bPq"1;1;{width};{height}']
    for colour in range(len(palette) // 3):
        red, green, blue = (round(value * 100 / 255) for value in palette[3 * colour :][:3])
        parts.append(f"#{colour};2;{red};{green};{blue}")
    weights = 1 << np.arange(_BAND)
    for top in range(0, height, _BAND):
        band = pixels[top : top + _BAND]
        for colour in np.unique(band):
            bits = ((band == colour) * weights[: len(band), None]).sum(axis=0)
            parts.append(f"#{colour}{_run_lengths((bits + 63).astype(np.uint8).tobytes())}$")
        parts.append("-")
    return "".join(parts) + "\x1b\\"


def _run_lengths(row: bytes) -> str:
    found, at = [], 0
    while at < len(row):
        end = at + 1
        while end < len(row) and row[end] == row[at]:
            end += 1
        character = chr(row[at])
        found.append(f"!{end - at}{character}" if end - at > 3 else character * (end - at))
        at = end
    return "".join(found)


def _png(image: Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
