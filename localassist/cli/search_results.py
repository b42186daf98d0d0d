"""What a search found, for a terminal: where it stands, what it says, what scores are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from localassist.cli.output import console, err_console

if TYPE_CHECKING:
    from localassist.client.client import LocalAssist

_SHOWN_CHARACTERS = 400
_SEARCHING = "Searching …"  # the first one waits for the embedding model to be loaded


def show_results(client: LocalAssist, store_id: str, question: str, limit: int) -> int:
    """Search, print what would be returned, and say how much that was."""
    from localassist.client.documents import PATH

    with err_console.status(_SEARCHING):
        results = client.vector_stores.search(store_id, query=question, max_num_results=limit).data
    for number, result in enumerate(results, 1):
        path = str((result.attributes or {}).get(PATH, result.filename))
        where = _where(path, getattr(result, "place", None))
        _print_head(_head(number, result.score, where), is_first=number == 1)
        console.print(
            Padding(Text(_short("\n".join(part.text for part in result.content))), (0, 4))
        )
    return len(results)


def explain_results(client: LocalAssist, store_id: str, question: str, limit: int) -> int:
    """Search, print the units that were found with the parts of their scores, and say how many
    those were."""
    from localassist.client.client import explain_search

    request = {"query": question, "max_num_results": limit}
    with err_console.status(_SEARCHING):
        hits = explain_search(client, store_id, request)["data"]
    for number, hit in enumerate(hits, 1):
        head = _head(number, hit["score"], _where(hit["filename"], hit["place"]))
        head.append(f"  unit {hit['unit']}", style="dim")
        _print_head(head, is_first=number == 1)
        console.print(Padding(_highlighted(hit["text"], hit["highlights"]), (0, 4)))
        console.print(Padding(_scores(hit), (0, 4)))
    return len(hits)


def _print_head(head: Text, *, is_first: bool) -> None:
    if not is_first:
        console.print()
    console.print(head)


def _head(number: int, score: float, where: str) -> Text:
    return Text.assemble((f"{number:>2}  ", "bold"), (f"{score:.2f}  ", "cyan"), (where, "bold"))


def _where(filename: str, place: str | None) -> str:
    return f"{filename}, {place}" if place else filename


def _short(text: str) -> str:
    text = text.strip()
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS].rstrip()} …"


def _highlighted(text: str, spans: Iterable[Mapping[str, int]]) -> Text:
    shown = Text(text)
    for span in spans:
        shown.stylize("bold yellow", span["start"], span["end"])
    return shown


def _scores(hit: Mapping[str, Any]) -> Table:
    """Two rows of three scores, and what they come to."""
    scores = hit["scores"]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("", "unit", "±1", "±4", "fused"):
        table.add_column(heading, justify="left" if not heading else "right")
    for kind, fused in (("dense", f"{hit['fused']:.2f}"), ("lexical", "")):
        parts = (scores[kind], scores[f"{kind}_near"], scores[f"{kind}_wide"])
        table.add_row(kind, *(f"{part:.2f}" for part in parts), fused)
    return table
