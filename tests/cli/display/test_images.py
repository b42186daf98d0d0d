"""Images in terminals that can show them, and in those that cannot."""

from __future__ import annotations

import base64
import io
import re
import struct
import sys
from pathlib import Path
from zlib import crc32

import pexpect
import pytest
from PIL import Image
from rich.console import Console

from localassist.cli.display import capabilities, graphics, show_image
from localassist.cli.display.capabilities import image_way
from localassist.cli.display.images import fitted
from tests.cli.display.terminals import Terminal

TWO_COLOURS = Image.new("RGB", (16, 32), "red")
TWO_COLOURS.paste("blue", (8, 0, 16, 32))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "plot.png"
    TWO_COLOURS.save(path)
    return path


@pytest.fixture(autouse=True)
def unknown_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "_known", lambda _: "blocks")


@pytest.mark.parametrize(
    ("environment", "way"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KONSOLE_VERSION": "230800"}, "kitty"),
        ({"TERM": "xterm-256color", "KONSOLE_VERSION": "210400"}, "blocks"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, "iterm2"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux"}, "blocks"),
        ({"TERM": "screen.xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "blocks"),
        ({"TERM": "xterm-256color"}, "blocks"),
        ({"TERM": "xterm", "XTERM_VERSION": "XTerm(390)", "KITTY_WINDOW_ID": "1"}, "blocks"),
    ],
)
def test_the_way_is_that_of_the_terminal(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], way: str
) -> None:
    monkeypatch.undo()
    # Nobody answers: standard input is no terminal here.
    assert image_way(Terminal().console(), environment) == way


def test_a_terminal_that_answers_gets_sixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(capabilities, "attributes", lambda _: ["62", "4", "22"])
    few_colours = Terminal().console(color_system="standard")
    for console in (Terminal().console(), few_colours):
        assert image_way(console, {"TERM": "xterm", "XTERM_VERSION": "1"}) == "sixel"
        assert image_way(console, {"TERM": "mlterm"}) == "sixel"
    assert image_way(few_colours, {"TERM": "xterm"}) is None


@pytest.mark.parametrize(
    "options",
    [
        {"force_terminal": False},
        {"_environ": {"TERM": "dumb"}},
        {"_environ": {"NO_COLOR": "1"}},
        {"color_system": None},
        {"color_system": "standard"},
    ],
)
def test_elsewhere_it_is_a_line(picture: Path, options: dict[str, object]) -> None:
    terminal = Terminal(200)
    show_image(terminal.console(**options), picture, "A plot")
    assert terminal.lines() == [f"A plot: {picture}"]


def test_blocks_have_two_pixels_in_a_cell(picture: Path) -> None:
    terminal = Terminal(200)
    show_image(terminal.console(width=200, height=24), picture)
    assert terminal.lines() == ["▀▀", "▀▀", str(picture)]
    left, right = terminal.screen.buffer[0][0], terminal.screen.buffer[0][1]
    assert (left.fg, left.bg, right.fg, right.bg) == ("ff0000", "ff0000", "0000ff", "0000ff")


def test_an_image_is_no_larger_than_the_screen() -> None:
    assert fitted((1000, 10_000), (40, 24), (8, 16)) == (4, 20)
    assert fitted((10_000, 100), (40, 24), (8, 16)) == (40, 1)
    assert fitted((1, 1), (40, 24), (8, 16)) == (1, 1)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"text \x1b[2J"])
def test_what_is_no_image_is_a_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a\x1b[2J.png"
    path.write_bytes(content)
    terminal = Terminal(300)
    show_image(terminal.console(width=300, height=24), path)
    (line,) = terminal.lines()
    assert line.endswith("a\\u001b[2J.png (not shown: no whole PNG, JPEG or WebP image)")


def test_an_image_cut_short_is_a_line(tmp_path: Path, picture: Path) -> None:
    for name in ("a.png", "a.jpg", "a.webp"):
        path = tmp_path / name
        Image.effect_noise((64, 64), 50).convert("RGB").save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        terminal = Terminal(300)
        show_image(terminal.console(width=300, height=24), path)
        assert len(terminal.lines()) == 1


def test_a_missing_and_a_huge_image_are_lines(tmp_path: Path) -> None:
    terminal = Terminal(300)
    console = terminal.console(width=300, height=24)
    show_image(console, tmp_path / "gone.png")
    for width in (100_000, 6_000):  # beyond what the library opens, and what is shown
        path = tmp_path / f"{width}.png"
        TWO_COLOURS.save(path)
        head = b"IHDR" + struct.pack(">II", width, 10_000) + path.read_bytes()[24:29]
        rest = path.read_bytes()[33:]
        path.write_bytes(path.read_bytes()[:12] + head + struct.pack(">I", crc32(head)) + rest)
        show_image(console, path)
    assert [line.partition(" (")[2] for line in terminal.lines()] == [
        "not there)",
        *["not shown: more than 50 million pixels)"] * 2,
    ]


def test_kitty_gets_the_image_in_chunks() -> None:
    noise = Image.effect_noise((64, 64), 50).convert("RGB")
    chunks = re.findall("\x1b_G([^;]*);([^\x1b]*)\x1b\\\\", graphics.kitty(noise, 8, 4))
    assert chunks[0][0] == "a=T,f=100,q=2,c=8,r=4,m=1" and chunks[-1][0] == "m=0"
    assert max(len(data) for _, data in chunks) == 4096
    image = Image.open(io.BytesIO(base64.b64decode("".join(data for _, data in chunks))))
    assert image.convert("RGB").tobytes() == noise.tobytes()


def test_iterm2_gets_the_image_in_one_sequence() -> None:
    options, _, data = graphics.iterm2(TWO_COLOURS, 2, 2)[2:-1].partition(":")
    assert options.endswith("width=2;height=2")
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == TWO_COLOURS.size


def test_sixels_are_the_pixels() -> None:
    image = TWO_COLOURS.resize((16, 14))
    assert decoded(graphics.sixel(image, 2, 1)) == image.tobytes()


def decoded(sixels: str) -> bytes:
    """The pixels of an image in sixels, as a terminal reads them."""
    head, body = re.fullmatch(r'\x1bPq"1;1;(\d+;\d+)(.*)\x1b\\', sixels, re.S).groups()  # type: ignore[union-attr]
    width, height = map(int, head.split(";"))
    image = Image.new("RGB", (width, height))
    colours: dict[str, tuple[int, ...]] = {}
    colour, x, top = "", 0, 0
    for token in re.findall(r"#\d+;2;\d+;\d+;\d+|#\d+|!\d+.|[?-~]|[$-]", body):
        if token[0] == "#" and ";" in token:
            name, _, *values = token[1:].split(";")
            colours[name] = tuple(round(int(value) * 255 / 100) for value in values)
        elif token[0] == "#":
            colour = token[1:]
        elif token in "$-":
            x, top = 0, top + 6 * (token == "-")
        else:
            count = int(token[1:-1]) if token[0] == "!" else 1
            bits = ord(token[-1]) - 63
            for column in range(x, x + count):
                for row in range(6):
                    if bits >> row & 1:
                        image.putpixel((column, top + row), colours[colour])
            x += count
    return image.tobytes()


_ASKING = """
from rich.console import Console
from localassist.cli.display.capabilities import attributes
print(attributes(Console()), flush=True)
print(repr(input()))
"""


@pytest.mark.parametrize(
    ("reply", "said"), [("\x1b[?62;4;22c", "['62', '4', '22']"), ("", "[]"), ("\x1b[?c", "[]")]
)
def test_a_terminal_is_asked_and_left_as_it_was(reply: str, said: str) -> None:
    program = pexpect.spawn(sys.executable, ["-c", _ASKING], encoding="utf-8", timeout=60)
    program.expect_exact("\x1b[c")
    program.send(reply)
    program.expect_exact(said)
    program.sendline("typed")  # echoed again, and taken as a line
    program.expect_exact("typed")
    program.expect_exact("'typed'")
    program.expect(pexpect.EOF)
    program.close()
    assert program.exitstatus == 0


def test_a_console_that_is_no_terminal_asks_nothing() -> None:
    assert capabilities.attributes(Console(file=io.StringIO())) == []
