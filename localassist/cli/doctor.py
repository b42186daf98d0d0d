"""``localassist doctor``: what works on this machine, and what to do about what does not."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from localassist.cli.output import EXIT_FAILURE, console, err_console

if TYPE_CHECKING:
    from localassist.services.checkup import Finding
    from localassist.settings import Settings

_MARKS = {
    "ok": ("ok", "green"),
    "warning": ("warning", "yellow"),
    "failed": ("failed", "red"),
    "unused": ("unused", "dim"),
}


def doctor(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check Python, the data folder, and whether code can be run in isolation; says what to do."""
    from localassist.services.checkup import examine

    settings: Settings = context.obj
    is_watched = err_console.is_terminal
    findings = []
    with err_console.status("Looking …") if is_watched else nullcontext():
        for finding in examine(settings.home, settings.sandbox):
            findings.append(finding)
            if not as_json:
                _show(finding)
    has_failed = any(finding.status == "failed" for finding in findings)
    if as_json:
        found = {"ok": not has_failed, "checks": [asdict(finding) for finding in findings]}
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
    if has_failed:
        raise typer.Exit(EXIT_FAILURE)


def _show(finding: Finding) -> None:
    """Paths contain brackets: no markup."""
    mark, style = _MARKS[finding.status]
    lines = [Text.assemble((f"{mark:<8}", style), (f"{finding.name}: ", "bold"), finding.says[0])]
    lines += [Text(f"{'':<8}{line}") for line in finding.says[1:]]
    if finding.fix is not None:
        lines.append(Text.assemble(f"{'':<8}", ("fix: ", "bold"), finding.fix))
    for line in lines:
        console.print(line, soft_wrap=True)
