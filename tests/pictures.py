"""Pictures of the terminal for the documentation: real sessions in a pseudo-terminal, as SVG, over
a scripted engine.

Run as ``python -m tests.pictures [NAME…]``; without names all are made anew.
"""

from __future__ import annotations

import json
import os
import re
import select
import shlex
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

import pyte
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from tests.cli.terminals import Terminal
from tests.conformance.serving import ROOT
from tests.docs_pages import DOCS
from tests.scenes import FILES, PROMPT, SCENES, Scene

FOLDER = DOCS / "pictures"
_QUIET_SECONDS = 0.7  # without output, after which a screen is finished
_KEY_SECONDS = 0.02
# No font is fetched from anywhere.
_FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s", "", CONSOLE_SVG_FORMAT, flags=re.S).replace(
    "font-family: Fira Code, monospace", "font-family: DejaVu Sans Mono, Menlo, Consolas, monospace"
)
_THEME = TerminalTheme(
    (24, 26, 31),
    (217, 220, 226),
    [
        *((40, 44, 52), (224, 108, 117), (152, 195, 121), (229, 192, 123)),
        *((97, 175, 239), (198, 120, 221), (86, 182, 194), (200, 204, 212)),
    ],
    [
        *((110, 116, 128), (240, 132, 140), (172, 215, 141), (245, 212, 150)),
        *((130, 195, 250), (215, 145, 235), (115, 205, 215), (255, 255, 255)),
    ],
)
_GREY = 90
_ENVIRONMENT = {
    "COLORTERM": "truecolor",
    "PYTHONPATH": str(ROOT),
}
_COLOURS = {"brown": "yellow", "brightbrown": "bright_yellow"}


class _Screen(pyte.HistoryScreen):
    """Knows faint text, and tells the program where its cursor is."""

    session: Terminal

    def select_graphic_rendition(self, *attributes: int, **options: object) -> None:
        is_faint = 2 in attributes and not any(30 <= one <= 38 for one in attributes)
        super().select_graphic_rendition(*attributes, *([_GREY] if is_faint else []))

    def write_process_input(self, data: str) -> None:
        self.session.type(data)


def play(scene: Scene) -> pyte.HistoryScreen:
    """The screen at the end of a scene. The session is ended then."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in FILES.items():
            Path(folder, name).write_text(content, encoding="utf-8")
        replies = Path(folder, "replies.json")
        replies.write_text(json.dumps({"replies": scene.replies, "delay": 0.002}))
        home = Path(folder, "home")
        program = [sys.executable, "-m", "tests.cli.scripted_main", str(home), str(replies)]
        command = " ".join(map(shlex.quote, [*program, *scene.arguments]))
        session = Terminal(
            ["sh", "-c", f"cd {shlex.quote(folder)} && exec {command}"],
            *(scene.columns, scene.rows),
            **_ENVIRONMENT,
            **scene.environment,
        )
        session.screen = _Screen(scene.columns, scene.rows, history=1000)
        session.screen.session = session
        session._stream = pyte.ByteStream(session.screen)
        try:
            for awaited, keys in scene.keys:
                if awaited == PROMPT:
                    session.wait_for_prompt()
                    _wait_until_quiet(session)
                else:
                    session.wait_for(awaited)
                for key in keys:
                    session.type(key)
                    time.sleep(_KEY_SECONDS)
            _wait_until_quiet(session)
        finally:
            session.process.close(force=True)
    return session.screen


def _wait_until_quiet(session: Terminal) -> None:
    until = time.monotonic() + _QUIET_SECONDS
    while time.monotonic() < until:
        if select.select([session.process.child_fd], [], [], _QUIET_SECONDS)[0]:
            session._read()
            until = time.monotonic() + _QUIET_SECONDS


def svg(screen: pyte.HistoryScreen, title: str, name: str) -> str:
    """What was written, what has left the screen at the top included, as a picture."""
    rows = [*screen.history.top, *(screen.buffer[row] for row in range(screen.lines))]
    lines = [_line(row, screen.columns) for row in rows]
    while lines and not lines[-1].plain.strip():
        lines.pop()
    console = Console(
        record=True, width=screen.columns, file=open(os.devnull, "w"), color_system="truecolor",
        force_terminal=True, _environ={},
    )  # fmt: skip
    console.print(Text("\n").join(lines), no_wrap=True, crop=False)
    console.file.close()
    made = console.export_svg(title=title, theme=_THEME, code_format=_FORMAT, unique_id=name)
    return "\n".join(line.rstrip() for line in made.splitlines() if line.strip()) + "\n"


def _line(row: Mapping[int, pyte.screens.Char], columns: int) -> Text:
    characters = [row[column] for column in range(columns)]
    while characters and characters[-1].data == " " and characters[-1].bg == "default":
        characters.pop()
    line = Text()
    for style, run in groupby(characters, key=_style):
        line.append("".join(map(_shown, run)), style)
    return line


def _shown(character: pyte.screens.Char) -> str:
    """Half blocks of one colour are the background alone."""
    return " " if character.data == "▀" and character.fg == character.bg else character.data


def _style(character: pyte.screens.Char) -> Style:
    return Style(
        color=_colour(character.bg if _shown(character) == " " else character.fg),
        bgcolor=_colour(character.bg),
        bold=character.bold,
        italic=character.italics,
        underline=character.underscore,
        strike=character.strikethrough,
        reverse=character.reverse,
    )


def _colour(name: str) -> str | None:
    if name == "default":
        return None
    if re.fullmatch("[0-9a-f]{6}", name):
        return f"#{name}"
    name = _COLOURS.get(name, name)
    return re.sub("^bright(?=[a-z])", "bright_", name)


def main(names: Sequence[str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in names or SCENES:
        scene = SCENES[name]
        path = FOLDER / f"{name}.svg"
        path.write_text(svg(play(scene), scene.title, name), encoding="utf-8")
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
