"""Text inside a block: emphasis, code, links with their addresses."""

from __future__ import annotations

import re
from collections.abc import Sequence

from markdown_it.tree import SyntaxTreeNode
from rich.style import Style
from rich.text import Text

from localassist.cli.display.clean import cleaned

_STYLES = {
    "strong": Style(bold=True),
    "em": Style(italic=True),
    "s": Style(strike=True),
    "link": Style(underline=True),
}
_CODE = Style(color="cyan")
_ASIDE = Style(dim=True)
_CITATION = re.compile(r"(?<=\s)\[\d{1,3}\]")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_TASK = re.compile(r"\[([ xX])\] ")


def inline(node: SyntaxTreeNode) -> Text:
    """The text of a paragraph, a heading or a cell."""
    text = Text()
    for child in node.children:
        if child.type == "inline":
            _append(text, child.children, Style())
    text.highlight_regex(_CITATION, "cyan")
    return text


def without_task(text: Text) -> tuple[bool | None, Text]:
    """Whether a task is done, for text that begins with the box of one, and the text after it."""
    found = _TASK.match(text.plain)
    return (None, text) if found is None else (found[1] != " ", text[found.end() :])


def _append(text: Text, nodes: Sequence[SyntaxTreeNode], style: Style) -> None:
    for node in nodes:
        if node.type in ("softbreak", "hardbreak"):
            text.append("\n")
        elif node.type == "code_inline":
            text.append(cleaned(node.content), style + _CODE)
        elif node.type == "image":
            _append(text, node.children, style)
            _append_address(text, str(node.attrs.get("src", "")), node)
        elif node.children:
            _append(text, node.children, style + _STYLES.get(node.type, Style()))
            if node.type == "link":
                _append_address(text, str(node.attrs.get("href", "")), node)
        else:
            # Entities have become characters by now, also such as must not reach a terminal.
            text.append(cleaned(_BREAK.sub("\n", node.content)), style)


def _append_address(text: Text, address: str, node: SyntaxTreeNode) -> None:
    label = "".join(child.content for child in node.walk() if child.type == "text")
    if address and address.removeprefix("mailto:") != label:
        text.append(f" ({cleaned(address)})" if label else cleaned(address), _ASIDE)
