"""Code that is run in front of a person: the code, what it prints, and what it leaves.

Whatever code prints is shown with control characters spelled out, so that it cannot move the cursor
or pass for something else.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from rich.text import Text

from localassist.cli.output import err_console, say_aside

if TYPE_CHECKING:
    from localassist.client.client import LocalAssist
    from localassist.client.tool_runner import CodePiece

_KEPT = "\n\t"
_SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg"}


def attachments(client: LocalAssist, paths: list[Path]) -> list[Any]:
    """The files uploaded, as the attachments of a message whose code may read them."""
    tools = [{"type": "code_interpreter"}]
    made = [client.files.create(file=path, purpose="assistants") for path in paths]
    return [{"file_id": file.id, "tools": tools} for file in made]


class CodeView:
    """The code of one answer on stderr: each piece as it comes, indented by what it is."""

    def __init__(self) -> None:
        self._part: str | None = None
        self._is_line_begun = False

    def show(self, piece: CodePiece) -> None:
        if piece.part != self._part:
            self.close()
            self._part = piece.part
        style = "cyan" if piece.part == "input" else "dim"
        mark = "│ " if piece.part == "input" else "  "
        for line in printable(piece.text).splitlines(keepends=True):
            if not self._is_line_begun:
                err_console.print(Text(mark, style="dim"), end="")
            err_console.print(Text(line, style=style), end="", soft_wrap=True)
            self._is_line_begun = not line.endswith("\n")

    def close(self) -> None:
        """End the line, if one has been begun; what follows is something else."""
        if self._is_line_begun:
            err_console.print()
        self._is_line_begun, self._part = False, None


def printable(text: str) -> str:
    """The text with control characters other than line ends and tabs spelled out."""
    return "".join(c if c.isprintable() or c in _KEPT else f"\\u{ord(c):04x}" for c in text)


def save_made(client: LocalAssist, thread_id: str, run_id: str, folder: Path) -> None:
    """Save what the messages of a run show and link, and say under which names."""
    for file_id in _made(client, thread_id, run_id):
        content = client.files.content(file_id).read()
        saved = save(folder, client.files.retrieve(file_id).filename, content)
        say_aside(Text(f"Saved {saved}", style="dim"))


def save(folder: Path, name: str, content: bytes) -> Path:
    """Write a file of this name into the folder; one that is there already keeps its name."""
    folder.mkdir(parents=True, exist_ok=True)
    # The name comes from code: its last part, not hidden, and nothing that steers a terminal.
    printed = "".join(c for c in PurePath(name).name if c.isprintable()).lstrip(".")
    wanted = PurePath(printed or "file")
    if not wanted.suffix:
        found = (suffix for start, suffix in _SUFFIXES.items() if content.startswith(start))
        wanted = wanted.with_suffix(next(found, ""))
    for path in _free(folder, wanted):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            continue
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        return path
    raise AssertionError("names never end")


def _free(folder: Path, wanted: PurePath) -> Iterator[Path]:
    yield folder / wanted
    number = 2
    while True:
        yield folder / f"{wanted.stem} ({number}){wanted.suffix}"
        number += 1


def _made(client: LocalAssist, thread_id: str, run_id: str) -> list[str]:
    """Ids of the files that the messages of a run show or link, in order, each once."""
    found: dict[str, None] = {}
    for message in client.beta.threads.messages.list(thread_id, run_id=run_id, order="asc"):
        for part in message.content:
            if part.type == "image_file":
                found[part.image_file.file_id] = None
            for annotation in part.text.annotations if part.type == "text" else []:
                if annotation.type == "file_path":
                    found[annotation.file_path.file_id] = None
    return list(found)
