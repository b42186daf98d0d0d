"""The pages of documentation that come with localassist: which there are, what they are called,
where in them something stands.

A page is a Markdown file of the package, or one that the source checkout keeps elsewhere and the
wheel carries along. The order of the pages and what is said about each are read from the index.
Knows nothing of terminals and HTML.
"""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_DOCS = "localassist/docs"
# Pages that lie beside the package in a checkout, and in `_shipped` of a wheel.
_ELSEWHERE = {
    "manifests": "models/README.md",
    "kernels": "sandbox/README.md",
    "contributing": "CONTRIBUTING.md",
    "changes": "CHANGELOG.md",
}
INDEX = "index"
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r"(#{1,6}) +(.*?)\s*#*\s*")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)\s]*\)")
_TABLE = re.compile(r"\|?(?: *:?-{3,}:? *\|)+| *\|+ *(?:\| *)*|<br>")
_ENTRY = re.compile(r"^(?:- \[([^\]]+)\]\(([^)\s]+)\): (.*(?:\n  .*)*)|## (.*))$", re.MULTILINE)
_NEAR = 0.6


@dataclass(frozen=True, slots=True)
class Page:
    """``source`` is the file's place in a checkout, which links are relative to. ``title``,
    ``group`` and ``about`` are what the index says; where it says nothing, the last two are
    empty."""

    name: str
    path: Path
    source: str
    title: str
    group: str
    about: str

    def text(self) -> str:
        """Its Markdown. Comments are left out; what remains stands on the lines of the file."""
        text = self.path.read_text(encoding="utf-8")
        return _COMMENT.sub(lambda comment: "\n" * comment.group().count("\n"), text)


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands below it, up to the next heading of whatever level."""

    heading: str
    anchor: str
    level: int
    line: int
    """Of the heading, counted from 1."""
    lines: tuple[str, ...]
    """The heading's own first."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A section that holds all words of a search, with the line that holds most of them."""

    page: Page
    section: Section
    line: int
    text: str


def all_pages() -> dict[str, Page]:
    """Every page by its name, in the order of the index; pages it does not name come last."""
    return dict(_pages())


def find(name: str) -> list[Page]:
    """The pages that ``name`` may mean: the one of that name, those with it in their name or title,
    or those that are spelled nearly so. Empty where nothing is like it."""
    known = _pages()
    asked = name.strip().lower().removesuffix(".md").replace("-", "_").replace(" ", "_")
    if asked in known:
        return [known[asked]]
    found = [page for page in known.values() if asked and asked in page.name]
    words = asked.replace("_", " ").strip()
    if not found and words:
        found = [page for page in known.values() if words in page.title.lower()]
    near = difflib.get_close_matches(asked, known, n=3, cutoff=_NEAR)
    return found or [known[other] for other in near]


def linked(page: Page, target: str) -> Page | None:
    """The page that a link's path leads to, seen from ``page``; None for whatever is none."""
    place = posixpath.normpath(posixpath.join(posixpath.dirname(page.source), target))
    return next((other for other in _pages().values() if other.source == place), None)


def sections(page: Page) -> list[Section]:
    """A page's headings in order; text before the first one belongs to none."""
    return list(outline(page.text()))


def search(words: Iterable[str]) -> list[Hit]:
    """Sections that hold every word, as part of a word too, whatever its case. Those with words in
    the heading come first, and else those that hold them more often."""
    wanted = [word.casefold() for word in words if word.strip()]
    ranked: list[tuple[tuple[int, int], Hit]] = []
    for page in _pages().values() if wanted else ():
        for section in sections(page):
            heading = f"{page.name} {section.heading}".casefold()
            body = " ".join((heading, *section.lines)).casefold()
            if not all(word in body for word in wanted):
                continue
            counts = [sum(word in line.casefold() for word in wanted) for line in section.lines]
            # The heading says where; another line says more.
            best = max(range(len(counts)), key=lambda at: (counts[at], at > 0))
            hit = Hit(page, section, section.line + best, section.lines[best].strip())
            in_heading = sum(word in heading for word in wanted)
            ranked.append(((-in_heading, -sum(body.count(word) for word in wanted)), hit))
    return [hit for _, hit in sorted(ranked, key=lambda item: item[0])]


def plain(markdown: str) -> str:
    """Markdown on one line as a reader sees it: no links, no marks, no tables."""
    return re.sub(r"[`*]", "", _TABLE.sub(" ", _LINK.sub(r"\1", markdown))).strip()


def outline(text: str) -> Iterator[Section]:
    """The sections of any Markdown text."""
    taken: dict[str, int] = {}
    head: tuple[str, int, int] | None = None
    lines: list[str] = []
    fence = ""
    for number, line in enumerate(text.splitlines(), 1):
        mark = _FENCE.match(line)
        if fence:
            fence = "" if mark and mark[1].startswith(fence) else fence
        elif mark:
            fence = mark[1]
        elif heading := _HEADING.fullmatch(line):
            if head is not None:
                yield _section(head, lines, taken)
            head, lines = (plain(heading[2]), len(heading[1]), number), []
        lines.append(line)
    if head is not None:
        yield _section(head, lines, taken)


def _section(head: tuple[str, int, int], lines: list[str], taken: dict[str, int]) -> Section:
    heading, level, line = head
    # As GitHub makes them, so that one link serves everywhere.
    anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
    again = taken.get(anchor, 0)
    taken[anchor] = again + 1
    return Section(heading, f"{anchor}-{again}" if again else anchor, level, line, tuple(lines))


@cache
def _pages() -> dict[str, Page]:
    shipped = _PACKAGE / "_shipped"
    outside = shipped if shipped.is_dir() else _PACKAGE.parent
    sources = {path.stem: (f"{_DOCS}/{path.name}", path) for path in _markdown_files()}
    for name, source in _ELSEWHERE.items():
        if (path := outside / source).is_file():
            sources[name] = (source, path)
    told = _told_by_index()
    order = [INDEX, *(name for source in told for name in sources if sources[name][0] == source)]
    names = dict.fromkeys([*(name for name in order if name in sources), *sorted(sources)])
    return {
        name: Page(name, path, source, *told.get(source, (name.replace("_", " "), "", "")))
        for name in names
        for source, path in [sources[name]]
    }


def _markdown_files() -> list[Path]:
    return sorted((_PACKAGE / "docs").glob("*.md"))


def _told_by_index() -> dict[str, tuple[str, str, str]]:
    """Title, group and sentence of each page by its source, as the index lists them."""
    told = {f"{_DOCS}/{INDEX}.md": ("Where to begin", "", "")}
    group = ""
    text = (_PACKAGE / "docs" / f"{INDEX}.md").read_text(encoding="utf-8")
    for title, target, about, heading in _ENTRY.findall(text):
        if heading:
            group = heading
        else:
            source = posixpath.normpath(posixpath.join(_DOCS, target))
            told.setdefault(source, (title, group, plain(" ".join(about.split()))))
    return told
