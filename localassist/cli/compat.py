"""``localassist compat``: what becomes of each endpoint and parameter of the hosted API."""

from __future__ import annotations

import re
from dataclasses import asdict
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from localassist.cli.output import EXIT_FAILURE, console, fail, say_json

if TYPE_CHECKING:
    from localassist.server.compatibility import Endpoint

_STYLES = {"yes": "green", "differs": "yellow", "no": "red", "ours": "cyan"}


class Only(str, Enum):
    """What can be asked for alone."""

    DIFFERS = "differs"
    NO = "no"
    OURS = "ours"


def compat(
    endpoint: Annotated[
        str, typer.Argument(help="A part of an endpoint's name, such as 'POST /threads'.")
    ] = "",
    only: Annotated[
        Only | None, typer.Option(help="Only what differs, is not served, or is ours.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """Show what is served of the hosted API, by endpoint and parameter: yes, differs, no, ours."""
    from localassist.server.compatibility import matching, report

    found = matching(report(), endpoint, only.value if only is not None else None)
    if not found:
        fail(f"Nothing like that: {endpoint or only}.", EXIT_FAILURE)
    if as_json:
        rows: Any = [asdict(item) for item in found]
        say_json(rows)
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for item in found:
        _add(table, item)
    console.print(table)


def _add(table: Table, endpoint: Endpoint) -> None:
    table.add_row(Text(endpoint.name, style="bold"), *_cells(endpoint.status, endpoint.note))
    for parameter in endpoint.parameters:
        name = Text(f"  {parameter.name}")
        if parameter.versions == ("v1",):
            name.append("  version 1", style="dim")
        table.add_row(name, *_cells(parameter.status, parameter.note))


def _cells(status: str, note: str) -> tuple[Text, Text]:
    """The page's sentence, with links as the pages that they lead to."""
    plain = re.sub(r"\[([^\]]+)\]\(([^)]+)\)", r"\1 (\2)", note).replace("`", "")
    return Text(status, style=_STYLES[status]), Text(plain)
