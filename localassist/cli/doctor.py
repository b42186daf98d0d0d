"""``localassist doctor``: what works on this machine, and what to do about what does not."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from localassist.cli.output import EXIT_FAILURE, console, err_console, say_json

if TYPE_CHECKING:
    from localassist.services.checkup import Finding
    from localassist.settings import Settings

_MARKS = {
    "ok": ("ok", "green"),
    "warning": ("warn", "yellow"),
    "failed": ("fail", "bold red"),
    "unused": ("-", "dim"),
}


def doctor(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", help="Show everything that was found, and try every way of isolating code."
        ),
    ] = False,
) -> None:
    """Check this machine, the data folder and the models; say what to do. Changes nothing."""
    from localassist.services.checkup import examine

    settings: Settings = context.obj
    is_watched = err_console.is_terminal
    findings = []
    with err_console.status("Looking …") if is_watched else nullcontext():
        for finding in examine(settings, thorough=verbose or as_json):
            findings.append(finding)
            if not as_json:
                _show(finding, in_full=verbose)
    counts = Counter[str](finding.status for finding in findings)
    if as_json:
        found = {"ok": not counts["failed"], "checks": [asdict(finding) for finding in findings]}
        say_json(found)
    else:
        _sum_up(counts, in_full=verbose)
    if counts["failed"]:
        raise typer.Exit(EXIT_FAILURE)


def _show(finding: Finding, *, in_full: bool) -> None:
    """What works takes a line, what does not all that was found. Paths contain brackets: no
    markup."""
    mark, style = _MARKS[finding.status]
    is_short = not in_full and finding.status in ("ok", "unused")
    says = [line for line in finding.says if line][: 1 if is_short else None]
    first = Text.assemble((f"{finding.name}: ", "bold"), says[0])
    rest = [Text(line) for line in says[1:]]
    if finding.fix is not None and not is_short:
        rest.append(Text.assemble(("fix: ", "bold"), finding.fix))
    _lines(Text(mark, style), first)
    for line in rest:
        _lines(Text(), line)


def _lines(mark: Text, line: Text) -> None:
    """Broken between words under each other for a person; whole for a program that reads them."""
    if not console.is_terminal:
        console.print(Text(f"{mark.plain:<5}") + line, soft_wrap=True)
        return
    table = Table.grid(padding=(0, 1))
    table.add_column(width=4, no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(mark, line)
    console.print(table)


def _sum_up(counts: Counter[str], *, in_full: bool) -> None:
    """The last line, which is what one reads first."""
    parts = [
        f"{counts[status]} {word}{'' if counts[status] == 1 else 's'}"
        for status, word in (("failed", "failure"), ("warning", "warning"))
        if counts[status]
    ]
    said = " and ".join(parts) + "." if parts else "All is well."
    more = "" if in_full else " More: localassist doctor --verbose"
    console.print(Text(f"{said}{more}"), soft_wrap=not console.is_terminal)
