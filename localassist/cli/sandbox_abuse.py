"""``localassist sandbox test``: attacks on the code interpreter where it runs, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from localassist.cli.output import EXIT_FAILURE, console, fail, progress_bar, report, say_json
from localassist.cli.sandbox_exec import with_provider

if TYPE_CHECKING:
    from localassist.sandbox.abuse.case import Case
    from localassist.sandbox.abuse.runner import Result
    from localassist.settings import Settings


WHOLE_LINE = 1000
DETAIL_CHARACTERS = 90
"""Of what came of an attack that was stopped; ``--json`` has all of it."""


def test(
    context: typer.Context,
    category: Annotated[
        list[str] | None,
        typer.Option("--category", help="Only this category; may be repeated.", show_default=False),
    ] = None,
    case: Annotated[
        list[str] | None,
        typer.Option("--case", help="Only this case; may be repeated.", show_default=False),
    ] = None,
    ablation: Annotated[
        bool,
        typer.Option("--ablation", help="Also try each case without what stops it."),
    ] = False,
    provider: Annotated[
        str | None,
        typer.Option(help="Provider to use instead of `sandbox.provider`.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """Attack the code interpreter on this machine and show what stops each attack."""
    import asyncio

    settings = with_provider(context.obj, provider)
    chosen = _chosen(category or [], case or [])
    results = asyncio.run(_run(settings, chosen, ablation=ablation))
    if as_json:
        say_json([_as_json(result) for result in results])
    else:
        _print_table(results, ablation=ablation)
    report(_summary(results))
    if not all(_is_good(result) for result in results):
        raise typer.Exit(EXIT_FAILURE)


def _chosen(categories: Sequence[str], names: Sequence[str]) -> Mapping[str, Sequence[Case]]:
    from localassist.sandbox.abuse.categories import CATEGORIES

    if unknown := set(categories) - set(CATEGORIES):
        fail(f"no category {', '.join(sorted(unknown))}; there are: {', '.join(CATEGORIES)}")
    known = {case.name for cases in CATEGORIES.values() for case in cases}
    if unknown := set(names) - known:
        fail(f"no case {', '.join(sorted(unknown))}")
    return {
        category: [case for case in cases if not names or case.name in names]
        for category, cases in CATEGORIES.items()
        if not categories or category in categories
    }


async def _run(
    settings: Settings, chosen: Mapping[str, Sequence[Case]], *, ablation: bool
) -> list[Result]:
    import asyncio

    from localassist.sandbox.abuse.runner import Suite
    from localassist.sandbox.choosing import choose

    provider, environment = await asyncio.to_thread(choose, settings.sandbox, settings.home)
    if provider.level == "none":
        fail(f"{provider.name} isolates nothing: every attack would succeed, and is not tried")
    results = []
    with progress_bar() as progress:
        bar = progress.add_task("starting", total=sum(map(len, chosen.values())))
        async with Suite.opened(provider, settings.sandbox, environment) as suite:
            for category, cases in chosen.items():
                for case in cases:
                    progress.update(bar, description=f"{category}: {case.name}")
                    results.append(await suite.try_case(category, case, ablation=ablation))
                    progress.advance(bar)
    return results


def _is_good(result: Result) -> bool:
    from localassist.sandbox.abuse.case import GOOD_OUTCOMES, GOOD_PROOFS

    return result.outcome in GOOD_OUTCOMES and (result.proof is None or result.proof in GOOD_PROOFS)


def _print_table(results: Sequence[Result], *, ablation: bool) -> None:
    """A section for each category. A program gets whole lines, a person what fits in the window."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("case", no_wrap=True, min_width=22)
    table.add_column("stopped by", min_width=14)
    table.add_column("verdict", no_wrap=True, min_width=11)
    if ablation:
        table.add_column("without it", no_wrap=True, min_width=13)
    table.add_column("what was tried, and what came of it", no_wrap=console.is_terminal)
    before = ""
    for result in results:
        if result.category != before:
            table.add_row(Text(result.category, style="bold"))
        cells = [
            Text(result.case.name),
            Text(result.stopped_by),
            Text(result.outcome, style="" if _is_good(result) else "bold red"),
        ]
        if ablation:
            cells.append(Text(result.proof or "–"))
        table.add_row(*cells, Text(_told(result)))
        before = result.category
    shown = console if console.is_terminal else Console(width=WHOLE_LINE, highlight=False)
    shown.print(table)


def _told(result: Result) -> str:
    """The attack in words, and of what came of it as much as makes a line or two."""
    detail = result.detail
    if result.proof is not None and not _is_good(result):
        detail = f"{detail}; without it: {result.proof_detail}"
    if len(detail) > DETAIL_CHARACTERS and _is_good(result):
        detail = f"{detail[:DETAIL_CHARACTERS]}…"
    return f"{result.case.tries}: {detail}"


def _summary(results: Sequence[Result]) -> str:
    """Counts of every outcome, in one line."""
    outcomes = [result.outcome for result in results]
    parts = [f"{outcomes.count(outcome)} {outcome}" for outcome in dict.fromkeys(outcomes)]
    proofs = [result.proof for result in results if result.proof is not None]
    parts += [f"{proofs.count(proof)} {proof} without it" for proof in dict.fromkeys(proofs)]
    seconds = sum(result.seconds for result in results)
    return f"{len(results)} attacks: {', '.join(parts)}; {seconds:.0f} s"


def _as_json(result: Result) -> dict[str, Any]:
    return {
        "category": result.category,
        "case": result.case.name,
        "tries": result.case.tries,
        "stopped_by": result.stopped_by,
        "outcome": result.outcome,
        "detail": result.detail,
        "seconds": round(result.seconds, 3),
        "without": result.proof,
        "without_detail": result.proof_detail,
    }
