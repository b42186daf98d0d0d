"""A comparison of retrieval as tables in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from localassist.cli.output import console

if TYPE_CHECKING:
    from localassist.evaluation.compare import Comparison
    from localassist.evaluation.statistics import Estimate

_NOTE = (
    "± is half of the 95 % bootstrap interval over the questions. Differences are to the first "
    "row, question by question, in points; * marks those that chance does not explain. – stands "
    "where the first result alone is larger than the budget, with the tokens it takes."
)


def print_tables(comparison: Comparison, seed: int) -> None:
    """What was measured on what, then recall at budgets, results at k, precision, and documents:
    only what the questions allow to be measured."""
    from localassist.evaluation.report import differences, figures, notes

    for sentence in notes(comparison):
        console.print(Text(sentence, style="yellow" if "GENERATED" in sentence else ""))
    names = [str(row.variant) for row in comparison.rows]
    found = [figures(row, seed) for row in comparison.rows]
    gaps = [differences(row, comparison.rows[0], seed) for row in comparison.rows]
    budgets = [f"{size}t" for size in comparison.budgets]
    numbers = [str(number) for number in comparison.numbers]

    def table(title: str, columns: dict[str, str]) -> None:
        kept = {metric: head for metric, head in columns.items() if metric in found[0]}
        if kept:
            console.print()
            console.print(_table(title, kept, names, found, gaps))

    if "recall@" + budgets[0] in found[0]:
        table(
            "Recall in % when results fill a budget of tokens",
            {f"recall@{cut}": f"{int(cut[:-1]):,}" for cut in budgets},
        )
        for number in numbers:
            metrics = ("recall", "precision", "iou", "tokens")
            table(
                f"{number} results, in %",
                {f"{metric}@{number}": _HEADS[metric] for metric in metrics},
            )
        table(
            "Precision in % at these budgets",
            {f"precision@{cut}": f"{int(cut[:-1]):,}" for cut in budgets},
        )
        table("IoU in % at these budgets", {f"iou@{cut}": f"{int(cut[:-1]):,}" for cut in budgets})
    table("Documents, in %", {"ndcg@10": "nDCG@10", "mrr": "MRR"})
    console.print(Text(f"\n{_NOTE}", style="dim"))


_HEADS = {"recall": "recall", "precision": "precision", "iou": "IoU", "tokens": "tokens"}


def _table(
    title: str,
    columns: dict[str, str],
    names: list[str],
    found: list[dict[str, Estimate]],
    gaps: list[dict[str, Estimate]],
) -> Table:
    shown = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    shown.add_column("", overflow="fold")
    for head in columns.values():
        shown.add_column(head, justify="right", no_wrap=True)
    for number, name in enumerate(names):
        cells = [_cell(metric, found[number], gaps[number] if number else {}) for metric in columns]
        shown.add_row(Text(name), *cells)
    return shown


def _cell(metric: str, found: dict[str, Estimate], gaps: dict[str, Estimate]) -> Text:
    value = found[metric]
    if metric.startswith("tokens"):
        return Text(f"{value.mean:,.0f}")
    cut = metric.partition("@")[2]
    if cut.endswith("t") and found[f"tokens@{cut}"].mean > int(cut[:-1]):
        return Text(f"– {found[f'tokens@{cut}'].mean:,.0f}", style="dim")
    text = Text(f"{100 * value.mean:.1f}")
    text.append(f" ±{50 * (value.high - value.low):.1f}", style="dim")
    if metric in gaps:
        gap = gaps[metric]
        mark = "*" if gap.is_clear else " "
        style = "bold" if gap.is_clear else "dim"
        points = round(100 * gap.mean, 1) + 0.0  # not -0.0
        text.append(f"\n{points:+.1f}{mark}", style)  # below: rows stay narrow
    return text
