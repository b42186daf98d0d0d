"""Images in the terminal, where it can show them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from rich.color import Color
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from localassist.cli.display import graphics
from localassist.cli.display.capabilities import cell_pixels, image_way
from localassist.cli.display.clean import cleaned

if TYPE_CHECKING:
    from PIL.Image import Image

_FORMATS = ("PNG", "JPEG", "WEBP")
_MOST_BYTES = 50_000_000
_MOST_PIXELS = 50_000_000
_MOST_COLUMNS = 100
_ROWS_LEFT = 4  # of the screen, for the name and what follows
_PROTOCOLS: dict[str, Callable[[Image, int, int], str]] = {
    "kitty": graphics.kitty,
    "iterm2": graphics.iterm2,
    "sixel": graphics.sixel,
}


def show_image(console: Console, path: Path, title: str = "") -> None:
    """Show a PNG, JPEG or WebP file as well as the terminal can, and name the file in a line below.
    What cannot be shown or read is a line."""
    way = image_way(console)
    reason = None
    if way is not None:
        try:
            image = _opened(path)
        except _Unreadable as error:
            reason = str(error)
        else:
            _show(console, image, way)
    named = f"{title}: {path}" if title else str(path)
    note = f" ({reason})" if reason else ""
    console.print(Text(cleaned(" ".join(f"{named}{note}".split())), style="dim"), soft_wrap=True)


class _Unreadable(Exception):
    """Why an image is not shown."""


def _opened(path: Path) -> Image:
    """The first frame of an image, upright, on white."""
    from PIL import Image, ImageOps

    try:
        if path.stat().st_size > _MOST_BYTES:
            raise _Unreadable(f"not shown: more than {_MOST_BYTES // 1_000_000} MB")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a size to be warned of is refused below
            with Image.open(path, formats=_FORMATS) as file:
                if file.width * file.height > _MOST_PIXELS:
                    raise Image.DecompressionBombError
                upright = ImageOps.exif_transpose(file).convert("RGBA")
    except FileNotFoundError:
        raise _Unreadable("not there") from None
    except Image.DecompressionBombError:
        limit = f"{_MOST_PIXELS // 1_000_000} million"
        raise _Unreadable(f"not shown: more than {limit} pixels") from None
    except _Unreadable:
        raise
    except Exception as error:  # decoders raise all kinds over damaged files
        raise _Unreadable("not shown: no whole PNG, JPEG or WebP image") from error
    white = Image.new("RGBA", upright.size, "white")
    return Image.alpha_composite(white, upright).convert("RGB")


def _show(console: Console, image: Image, way: str) -> None:
    from PIL.Image import Resampling

    cell = cell_pixels(console)
    columns, rows = fitted(image.size, console.size, cell)
    if way == "blocks":
        console.print(_Blocks(image.resize((columns, 2 * rows), Resampling.BOX)))
        return
    # Never more pixels than are seen.
    shown = image.resize((columns * cell[0], rows * cell[1]))
    console.file.write(_PROTOCOLS[way](shown, columns, rows) + "\n")
    console.file.flush()


def fitted(
    pixels: tuple[int, int], screen: tuple[int, int], cell: tuple[int, int]
) -> tuple[int, int]:
    """Columns and rows of an image: no larger than it is, and than fits on the screen."""
    width, height = pixels
    columns = min(screen[0], _MOST_COLUMNS)
    scale = min(
        1.0,
        columns * cell[0] / width,
        max(1, screen[1] - _ROWS_LEFT) * cell[1] / height,
    )
    return (
        max(1, min(columns, round(width * scale / cell[0]))),
        max(1, round(height * scale / cell[1])),
    )


class _Blocks:
    """Two pixels in each cell: the upper one is the colour of ``▀``, the lower one is behind it."""

    def __init__(self, image: Image) -> None:
        self._image = image

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = self._image.size
        data = self._image.tobytes()
        pixels = [tuple(data[at : at + 3]) for at in range(0, len(data), 3)]
        for top in range(0, height, 2):
            above = pixels[top * width : (top + 1) * width]
            below = pixels[(top + 1) * width : (top + 2) * width]
            for (upper, lower), run in groupby(zip(above, below, strict=True)):
                style = Style(color=Color.from_rgb(*upper), bgcolor=Color.from_rgb(*lower))
                yield Segment("▀" * len(list(run)), style)
            yield Segment.line()
