"""Code that is run in front of a person: the code, what it prints, and what it leaves.

Whatever code prints is shown with control characters spelled out, so that it cannot move the cursor
or pass for something else.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, BinaryIO

from rich.text import Text

from localassist.cli.output import err_console
from localassist.sandbox.names import free_name, safe_name

if TYPE_CHECKING:
    from localassist.client.client import LocalAssist
    from localassist.client.tool_runner import CodePiece

_KEPT = "\n\t"
_SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg"}
_LONGEST_TITLE = 60  # characters of it in a file name


class CodeView:
    """The code of one answer on stderr: each piece as it comes, indented by what it is."""

    def __init__(self) -> None:
        self._part: str | None = None
        self._is_line_begun = False

    @property
    def is_line_open(self) -> bool:
        """More of a line may follow."""
        return self._is_line_begun

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


def save_made(client: LocalAssist, thread_id: str, run_id: str, folder: Path) -> list[Path]:
    """Save what the messages of a run show and link. Images have no names; they are called what the
    figure says it shows."""
    made = _made(client, thread_id, run_id)
    titles = _titles(client, thread_id, run_id) if made else {}
    saved = []
    for file_id in made:
        content = client.files.content(file_id).read()
        name = titles.get(file_id) or client.files.retrieve(file_id).filename
        saved.append(save(folder, name, content))
    return saved


def image_names(code: str, count: int) -> list[str]:
    """Names without endings for the images of a cell, after the titles in its code."""
    from localassist.tools.code_interpreter.telling import figure_titles

    titles = ["-".join(re.findall(r"\w+", title)) for title in figure_titles(code)]
    if len(titles) != count or not all(titles):
        return ["figure"] * count
    return [title[:_LONGEST_TITLE] for title in titles]


def save(folder: Path, name: str, content: bytes) -> Path:
    """Write a file of this name, which is code's, into the folder; one that is there already keeps
    its name."""
    wanted = PurePath(safe_name(name))
    if not wanted.suffix:
        found = (suffix for start, suffix in _SUFFIXES.items() if content.startswith(start))
        wanted = wanted.with_suffix(next(found, ""))
    path, file = created(folder, str(wanted))
    with file:
        file.write(content)
    return path


def created(folder: Path, name: str) -> tuple[Path, BinaryIO]:
    """A file that was not there, under this name or one like it."""
    folder.mkdir(parents=True, exist_ok=True)
    taken: set[str] = set()
    while True:
        path = folder / free_name(name, taken)
        try:
            return path, path.open("xb")
        except FileExistsError:
            taken.add(path.name)


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


def _titles(client: LocalAssist, thread_id: str, run_id: str) -> dict[str, str]:
    """Ids of the images that a run's code has shown, with a name for each."""
    found: dict[str, str] = {}
    for step in client.beta.threads.runs.steps.list(run_id, thread_id=thread_id, order="asc"):
        calls = step.step_details.tool_calls if step.step_details.type == "tool_calls" else []
        for call in calls:
            if call.type == "code_interpreter":
                made = call.code_interpreter
                ids = [one.image.file_id for one in made.outputs if one.type == "image"]
                found |= zip(ids, image_names(made.input, len(ids)), strict=True)
    return found
