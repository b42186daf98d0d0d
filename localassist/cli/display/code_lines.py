"""Code in colours that are readable on dark and on light terminals."""

from __future__ import annotations

from collections.abc import Sequence

from rich.style import Style
from rich.syntax import ANSISyntaxTheme, Syntax
from rich.text import Text

_LONGEST_LINE = 2_000  # characters; longer ones are data, and slow to take apart

_THEME = ANSISyntaxTheme(
    {
        ("Comment",): Style(dim=True, italic=True),
        ("Keyword",): Style(color="blue", bold=True),
        ("Operator", "Word"): Style(color="blue", bold=True),
        ("Name", "Builtin"): Style(color="cyan"),
        ("Name", "Function"): Style(bold=True),
        ("Name", "Class"): Style(bold=True),
        ("Name", "Tag"): Style(color="blue"),
        ("Name", "Attribute"): Style(color="cyan"),
        ("Name", "Decorator"): Style(color="magenta"),
        ("Literal", "Number"): Style(color="magenta"),
        ("Literal", "String"): Style(color="green"),
        ("Generic", "Deleted"): Style(color="red"),
        ("Generic", "Inserted"): Style(color="green"),
        ("Generic", "Heading"): Style(bold=True),
    }
)


def highlighted(lines: Sequence[str], context: Sequence[str], language: str) -> list[Text]:
    """``lines`` coloured as they are after ``context``; plain in a language nobody knows. They are
    never broken: a terminal that wraps them copies them whole."""
    code = "\n".join([*context, *lines])
    syntax = Syntax(code, language or "text", theme=_THEME, background_color="default")
    is_plain = syntax.lexer is None or any(len(line) > _LONGEST_LINE for line in lines)
    if is_plain:
        found = [Text(line) for line in lines]
    else:
        found = list(syntax.highlight(code).split("\n", allow_blank=True))
        found = found[len(context) : len(context) + len(lines)]
    for line in found:
        line.expand_tabs(8)
        line.no_wrap, line.overflow, line.end = True, "ignore", "\n"
    return found
