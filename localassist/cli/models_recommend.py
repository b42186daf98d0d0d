"""``localassist models recommend``: which models suit a machine of so much memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from localassist.cli.output import console, fail, say_json

if TYPE_CHECKING:
    from localassist.services.recommendations import Recommendation

_GIB = 2**30
_TABLE_COLUMNS = 110  # narrower terminals get a list


def recommend(
    ram: Annotated[
        int | None,
        typer.Option(help="GB of memory; by default this machine's.", min=1, show_default=False),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="For 4, 8, 16, 32 and 64 GB.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List models that fit into memory, with the context that fits. Downloads nothing."""
    from localassist.services import recommendations

    sizes = recommendations.COMMON_RAM_GB if everything else (ram or _own_ram_gb(),)
    found = [one for size in sizes for one in recommendations.recommend(size)]
    if as_json:
        say_json({"recommended": [_plain(one) for one in found]})
        return
    if not found:
        smallest = min(recommendations.COMMON_RAM_GB)
        fail(f"Nothing is recommended below {smallest} GB except the embedded model.", 1)
    if console.width >= _TABLE_COLUMNS:
        console.print(_table(found))
    else:
        _print_list(found)
    console.print(
        "Context is for all conversations together. Where it is less than a model was made for "
        "(*), set it: localassist models set NAME context_length=…",
        markup=False,
        soft_wrap=not console.is_terminal,
    )


def _own_ram_gb() -> int:
    from localassist.engine.machine import machine_memory_bytes

    total = machine_memory_bytes()
    if total is None:
        fail("The system does not report its memory; give it with --ram.")
    return math.ceil(total / _GIB)


def _plain(one: Recommendation) -> dict[str, object]:
    model = one.model.model_dump(include={"name", "licence", "repo", "quantization", "note"})
    return {
        "ram_gb": one.ram_gb,
        **model,
        "file_bytes": one.model.size_bytes,
        "context_tokens": one.context_tokens,
        "trained_tokens": one.model.trained_tokens,
    }


def _table(found: list[Recommendation]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for heading in ("RAM", "model", "type", "file", "context", "licence", "good for"):
        is_number = heading in ("RAM", "file", "context")
        table.add_column(heading, justify="right" if is_number else "left", overflow="fold")
    for one in found:
        model = one.model
        table.add_row(
            f"{one.ram_gb} GB",
            Text(model.name),
            model.quantization,
            f"{model.file_gb:g} GB",
            _context(one),
            Text(model.licence),
            Text(model.note),
        )
    return table


def _print_list(found: list[Recommendation]) -> None:
    for one in found:
        model = one.model
        console.print(Text(f"{model.name} {model.quantization}", style="bold"))
        facts = f"{one.ram_gb} GB RAM, file {model.file_gb:g} GB, context {_context(one)}"
        for line in (facts, model.licence, model.note):
            console.print(Text(f"  {line}"))


def _context(one: Recommendation) -> str:
    is_less = one.context_tokens < one.model.trained_tokens
    return f"{one.context_tokens:,}{'*' if is_less else ''}"
