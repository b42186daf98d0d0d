"""``localassist models check``: does a model do what it should, and how well?"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from localassist.cli.output import (
    EXIT_FAILURE,
    EXIT_INTERRUPTED,
    console,
    err_console,
    fail,
    say_json,
)

if TYPE_CHECKING:
    from localassist.services.model_check import Check
    from localassist.settings import Settings

_STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


def check(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(help="A model's name; by default both default models.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Test a model in a separate process: files, template, end, functions, speed, memory."""
    from localassist.registry import Catalog
    from localassist.services.model_check import check_model

    settings: Settings = context.obj
    catalog = Catalog(settings.home, settings.models)
    found = catalog.default("chat") if name is None else catalog.find(name) or catalog.get(name)
    manifests = [found] if name is not None else [found, catalog.default("embedding")]
    report: list[dict[str, Any]] = []
    for manifest in manifests:
        if not as_json:
            console.print(Text(manifest.id, style="bold"), soft_wrap=True)
        checks = []
        try:
            with err_console.status(f"Checking {manifest.id} …"):
                for one in check_model(
                    catalog,
                    manifest,
                    home=str(settings.home),
                    models=settings.models,
                    engine=settings.engine,
                    embedder_backend=settings.retrieval.embedder_backend,
                ):
                    checks.append(one)
                    if not as_json:
                        _show(one)
        except KeyboardInterrupt:
            fail("Stopped; what is not shown was not checked.", EXIT_INTERRUPTED)
        report.append({"model": manifest.id, "checks": [asdict(one) for one in checks]})
    has_failed = any(one["verdict"] == "fail" for each in report for one in each["checks"])
    if as_json:
        found_all = {"ok": not has_failed, "models": report}
        say_json(found_all)
    if has_failed:
        raise typer.Exit(EXIT_FAILURE)


def _show(one: Check) -> None:
    """Paths contain brackets: no markup."""
    line = Text.assemble(
        (f"{one.verdict:<5}", _STYLES[one.verdict]), (f"{one.name}: ", "bold"), one.says
    )
    console.print(line, soft_wrap=not console.is_terminal)
    if one.fix is not None:
        fix = Text.assemble("     ", ("fix: ", "bold"), one.fix)
        console.print(fix, soft_wrap=not console.is_terminal)
