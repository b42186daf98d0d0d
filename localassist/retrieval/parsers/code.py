"""Source code and configuration files, as they are, with the names of what they define."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from localassist.retrieval.parsers.base import HeadingPath, TextWriter
from localassist.retrieval.parsers.encoding import read_text

# Lines longer than this define nothing that a person would look for.
_LONGEST = 400
_INDENT = re.compile(r"[ \t]*")
_TEX_LEVELS = ("part", "chapter", "section", "subsection", "subsubsection")
_TEX = re.compile(rf"\s*\\({'|'.join(_TEX_LEVELS)})\*?(?:\[[^\]]*\])?\{{(.+?)\}}\s*(?:%.*)?")
_SECTION = re.compile(r"\s*\[+([^\[\]]+)\]+\s*(?:[#;].*)?")
_NAMED = re.compile(
    r"\s*(?:(?:export|default|public|private|protected|internal|static|final|abstract|async|pub"
    r"(?:\([^)]*\))?|unsafe|sealed|partial|open|override|virtual|inline|data|declare|const)\s+)*"
    r"(?:class|interface|struct|enum|trait|union|namespace|module|record|object|protocol|extension"
    r"|impl(?:<[^>]*>)?|def|function\*?|func|fun|fn|sub|proc|macro_rules!|type)\s+"
    r"(?:\([^)]*\)\s*)?([A-Za-z_$][\w$.:?!]*)"
    # What a sentence that begins with one of these words does not go on with.
    r"\s*(?:[({:<;=\[|]|$|(?:extends|implements|for|where|is|do|begin|struct|interface)\b)"
)
_SQL = re.compile(
    r"\s*create\s+(?:or\s+replace\s+)?(?:temp(?:orary)?\s+|unique\s+|materialized\s+)*"
    r"(?:table|view|index|function|procedure|trigger|type|schema)\s+(?:if\s+not\s+exists\s+)?"
    r"([\w.\"`\[\]]+)",
    re.IGNORECASE,
)
# C and its kin define functions without a keyword: a type, a name, arguments, and then the body.
_TYPED = re.compile(
    r"[ \t]*(?:[A-Za-z_][\w:<>,\[\]]*[ \t*&]+)+?([A-Za-z_~][\w:~]*)[ \t]*\([^;={}]*\)?[^;=]*"
)
_NOT_TYPES = re.compile(
    r"[ \t}]*(?:return|else|if|for|while|switch|case|new|throw|typedef|using)\b"
)
_C_LIKE = frozenset("c h cc cpp cxx hpp cs java ino m mm".split())
_SECTIONED = frozenset("ini cfg conf toml properties".split())
_NO_DEFINITIONS = frozenset(
    "css scss less xml yaml yml env svg xsd xsl xslt bib diff patch graphql gql".split()
)


def parse(path: Path, out: TextWriter, suffix: str = "") -> None:
    """``suffix`` without its dot says how definitions look."""
    text = read_text(path, out.max_characters)
    path_of = HeadingPath()
    for line, definition in definitions(text.splitlines(), suffix):
        if definition is not None:
            out.place(heading=path_of.enter(*definition))
        out.line(line)


def definitions(lines: list[str], suffix: str) -> Iterator[tuple[str, tuple[int, str] | None]]:
    """Every line, with level and name where it begins a definition; deeper indents are deeper."""
    for number, line in enumerate(lines):
        found = None
        if line.strip() and len(line) <= _LONGEST and suffix not in _NO_DEFINITIONS:
            following = lines[number + 1] if number + 1 < len(lines) else ""
            found = _definition(line, following, suffix)
        yield line, found


def _definition(line: str, following: str, suffix: str) -> tuple[int, str] | None:
    if suffix == "tex":
        tex = _TEX.fullmatch(line)
        return (_TEX_LEVELS.index(tex[1]), tex[2]) if tex else None
    if suffix in _SECTIONED:
        section = _SECTION.fullmatch(line)
        return (0, section[1].strip()) if section else None
    if suffix == "sql":
        created = _SQL.match(line)
        return (0, created[1].strip('"`[]')) if created else None
    indent = len(_INDENT.match(line)[0].expandtabs(4))  # type: ignore[index]
    if named := _NAMED.match(line):
        return indent, named[1].rstrip(":.")
    if suffix in _C_LIKE and not _NOT_TYPES.match(line) and "(" in line:
        opens = line.rstrip().endswith("{") or following.strip() == "{"
        typed = _TYPED.fullmatch(line.rstrip().rstrip("{")) if opens else None
        return (indent, typed[1]) if typed else None
    return None
