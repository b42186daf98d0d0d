"""The pages of documentation as HTML: for ``/docs``, and as files for a browser.

Everything a page needs lies beside it: a style sheet, a script, an index for searching, pictures.
Nothing comes from elsewhere, nothing is written into a page that a policy would have to allow.
"""

from __future__ import annotations

import json
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from localassist.pages import INDEX, Page, all_pages, linked, plain, sections

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it.token import Token

_STATIC = Path(__file__).parent / "static"
_KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_PICTURES = ("plots", "pictures")
SEARCH_INDEX = "search.js"


@cache
def page_html(name: str, suffix: str = "") -> str:
    """A page as a whole document. ``suffix`` is what links put behind names. KeyError: no page."""
    page = all_pages()[name]
    return _DOCUMENT.format(
        title=escape("localassist" if name == INDEX else f"{page.title} – localassist"),
        home=f"{INDEX}{suffix}",
        suffix=suffix,
        list=_side_list(page, suffix),
        body=_body(page, suffix),
    )


@cache
def asset(path: str) -> tuple[str, bytes] | None:
    """Media type and content of what pages load, by its path below them; None: there is none. Only
    what is listed is ever opened."""
    if path == SEARCH_INDEX:
        return _KINDS[".js"], _search_index().encode()
    file = _asset_files().get(path)
    return None if file is None else (_KINDS[file.suffix], file.read_bytes())


def write_all(folder: Path) -> None:
    """Every page and what they load, as files. Raises OSError."""
    for name in all_pages():
        (folder / f"{name}.html").write_text(page_html(name, ".html"), encoding="utf-8")
    for path in (SEARCH_INDEX, *_asset_files()):
        found = asset(path)
        assert found is not None
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(found[1])


@cache
def _asset_files() -> dict[str, Path]:
    docs = all_pages()[INDEX].path.parent
    own = {path.name: path for path in _STATIC.iterdir() if path.suffix in _KINDS}
    pictures = [path for folder in _PICTURES for path in sorted((docs / folder).glob("*.svg"))]
    return own | {f"{path.parent.name}/{path.name}": path for path in pictures}


def _search_index() -> str:
    """All sections as a script, because a browser reads no other kind of file beside a file."""
    rows = [
        [page.name, page.title, section.anchor, section.heading, plain(" ".join(section.lines[1:]))]
        for page in all_pages().values()
        for section in sections(page)
    ]
    return f"const SECTIONS = {json.dumps(rows, ensure_ascii=False, separators=(',', ':'))};\n"


def _side_list(current: Page, suffix: str) -> str:
    parts, group = [], ""
    for page in all_pages().values():
        if page.group != group:
            group = page.group
            parts.append(f"<h2>{escape(group)}</h2>")
        here = ' aria-current="page"' if page == current else ""
        parts.append(f'<a href="{page.name}{suffix}"{here}>{escape(page.title)}</a>')
        if page == current:
            parts += [
                f'<a class="part" href="#{section.anchor}">{escape(section.heading)}</a>'
                for section in sections(page)
                if section.level == 2
            ]
    return "\n".join(parts)


def _body(page: Page, suffix: str) -> str:
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": True, "highlight": _highlighted}).enable("table")
    tokens = reader.parse(page.text())
    headings = [token for token in tokens if token.type == "heading_open"]
    for token, section in zip(headings, sections(page), strict=True):
        token.attrSet("id", section.anchor)
        token.meta["anchor"] = section.anchor
    for token in tokens:
        _point_links(token.children or (), page, suffix)
    reader.add_render_rule("heading_close", _heading_close)
    reader.add_render_rule("table_open", lambda *_: '<div class="table" tabindex="0"><table>\n')
    reader.add_render_rule("table_close", lambda *_: "</table></div>\n")
    for opening, closing in zip(headings, _closing(tokens), strict=True):
        closing.meta["anchor"] = opening.meta["anchor"]
    return str(reader.renderer.render(_without_empty_heads(tokens), reader.options, {}))


def _closing(tokens: Sequence[Token]) -> list[Token]:
    return [token for token in tokens if token.type == "heading_close"]


def _heading_close(_: object, tokens: Sequence[Token], at: int, *rest: object) -> str:
    token = tokens[at]
    anchor = token.meta["anchor"]
    return f' <a class="anchor" href="#{anchor}" aria-label="link">#</a></{token.tag}>\n'


def _without_empty_heads(tokens: list[Token]) -> list[Token]:
    """Tables whose first row is empty have it for Markdown's sake alone."""
    kept: list[Token] = []
    head: list[Token] | None = None
    for token in tokens:
        if token.type == "thead_open":
            head = []
        if head is None:
            kept.append(token)
            continue
        head.append(token)
        if token.type == "thead_close":
            kept += head if any(token.content for token in head) else []
            head = None
    return kept


def _point_links(tokens: Sequence[Token], page: Page, suffix: str) -> None:
    """Links between pages to where they are served; what is no page is no link."""
    is_absent = False
    for token in tokens:
        if token.type == "link_open":
            href = str(token.attrGet("href"))
            path, mark, anchor = href.partition("#")
            other = linked(page, path) if path else page
            if "://" in href:
                token.attrSet("rel", "noreferrer")
            elif other is None:
                is_absent = True
                token.tag, token.attrs = "span", {"class": "absent", "title": f"{path}: not here"}
            elif path:
                token.attrSet("href", f"{other.name}{suffix}{mark}{anchor}")
        elif token.type == "link_close" and is_absent:
            token.tag, is_absent = "span", False


def _highlighted(code: str, language: str, _: str) -> str:
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_by_name(language)
    except ClassNotFound:
        return ""
    return str(highlight(code, lexer, HtmlFormatter(nowrap=True)))


_DOCUMENT = """<!doctype html>
<html lang="en" data-suffix="{suffix}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="stylesheet" href="pages.css">
<script src="pages.js" defer></script>
</head>
<body>
<header>
<a href="{home}">localassist</a>
<label class="menu" for="site-menu">Pages</label>
<input id="site-search" type="search" placeholder="Search" aria-label="Search the pages" hidden>
</header>
<input id="site-menu" type="checkbox" aria-label="Show the list of pages">
<nav aria-label="Pages">
{list}
</nav>
<main>
<div id="site-found" role="status" hidden></div>
<article>
{body}</article>
</main>
</body>
</html>
"""
