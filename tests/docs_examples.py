"""Code blocks of the documentation: found, and taken apart for the tests that check them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.docs_pages import DOCS, MARKER, ROOT

READMES = [folder / "README.md" for folder in (ROOT, ROOT / "models", ROOT / "sandbox")]
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
DOCUMENTS = [*READMES, CONTRIBUTING, *sorted(DOCS.glob("*.md"))]
_FENCE = re.compile(r"( *)(`{3,})(\w*)\s*")
_NOT_RUN = re.compile(r"<!-- not run: (.*?) -->")
_ENDS_COMMAND = ("|", "||", "&&", ";", "&", "<", ">", ">>", "2>", "(", ")")


@dataclass(frozen=True)
class Block:
    """``output`` is the block of text that follows it at once; ``reason`` is why it is not to be
    run, empty where it is."""

    path: Path
    line: int
    language: str
    source: str
    output: str | None = None
    reason: str = ""

    @property
    def id(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def blocks(path: Path, *languages: str) -> list[Block]:
    """The fenced blocks written by hand, in these languages or in all; "" are those without."""
    text = path.read_text(encoding="utf-8").partition(MARKER)[0]
    found = list(_blocks(path, text.splitlines()))
    return [block for block in found if not languages or block.language in languages]


def all_blocks(*languages: str) -> list[Block]:
    return [block for path in DOCUMENTS for block in blocks(path, *languages)]


def _blocks(path: Path, lines: list[str]) -> Iterator[Block]:
    at = 0
    while at < len(lines):
        fence = _FENCE.fullmatch(lines[at])
        if fence is None:
            at += 1
            continue
        end = _end(lines, at, fence[2])
        source = "".join(f"{line[len(fence[1]) :]}\n" for line in lines[at + 1 : end])
        output = None
        if lines[end + 1 : end + 3] == ["", "```text"]:
            output = "".join(f"{line}\n" for line in lines[end + 3 : _end(lines, end + 2, "```")])
        reason = _NOT_RUN.fullmatch(lines[at - 1]) if at else None
        yield Block(path, at + 1, fence[3], source, output, reason[1] if reason else "")
        at = end + 1


def _end(lines: list[str], start: int, fence: str) -> int:
    return next(at for at in range(start + 1, len(lines)) if lines[at].strip() == fence)


def shell_commands(source: str) -> Iterator[list[str]]:
    """The single commands of a block for a shell, as words. Prompts, comments, assignments in front
    and redirections are left out; in a block with prompts, so is what commands print."""
    for line in _whole_lines(source):
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
        lexer.whitespace_split = True
        words: list[str] = []
        try:
            found = list(lexer)
        except ValueError:
            continue  # no command: somebody's apostrophe
        for word in [*found, ";"]:
            if word in _ENDS_COMMAND:
                if words:
                    yield words
                words = []
            elif words or not re.fullmatch(r"\w+=.*|sudo|export", word, re.DOTALL):
                words.append(word)


def _whole_lines(source: str) -> Iterator[str]:
    """Commands on one line each, as far as backslashes and quotes carry them."""
    has_prompts = re.search(r"^\$ ", source, re.MULTILINE)
    whole = ""
    for line in source.replace("\\\n", " ").splitlines():
        if has_prompts and not whole and not line.startswith("$ "):
            continue
        whole += line if whole else line.removeprefix("$ ")
        if has_prompts and whole.count("'") % 2:
            whole += "\n"
            continue
        yield whole
        whole = ""


def localassist_commands(source: str) -> Iterator[list[str]]:
    """Those of ours, without what runs Python."""
    for words in shell_commands(source):
        if words[0] == "localassist" or words[0].endswith("/localassist"):
            yield words
        elif re.match(r"python[\d.]*$", Path(words[0]).name) and words[1:3] == [
            "-m",
            "localassist",
        ]:
            yield words[2:]
