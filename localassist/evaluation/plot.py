"""Recall against the budget, as an image or as a page that needs nothing else."""

from __future__ import annotations

import html
import io
from pathlib import Path
from typing import Any

from localassist.errors import ConfigError
from localassist.evaluation.compare import Comparison
from localassist.evaluation.measure import BUDGETS
from localassist.evaluation.report import figures, notes

CURVE = (250, *BUDGETS[:1], 750, 1_000, 1_500, 2_000, 3_000, 4_000)
"""Budgets that a curve is drawn through."""

FORMATS = (".png", ".svg", ".html")


def check(path: Path) -> None:
    """That a plot can be written there. Raises ConfigError."""
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"A plot is a file that ends with {', '.join(FORMATS)}, not {path.name}.")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ConfigError("Plots need matplotlib: pip install 'localassist[plots]'") from error


def draw(comparison: Comparison, path: Path, seed: int = 0) -> None:
    """Write the plot in the form that the file's suffix names. Raises ConfigError when there is no
    recall to draw, or the file cannot be written."""
    check(path)
    figure = _figure(comparison, seed)
    kind = path.suffix.lower()
    drawn = io.BytesIO()
    image = "png" if kind == ".png" else "svg"
    figure.savefig(drawn, format=image, dpi=150, metadata=_NO_DATE[image])
    data = drawn.getvalue()
    if kind == ".html":
        data = _page(comparison, data.decode("utf-8"), seed).encode("utf-8")
    try:
        path.write_bytes(data)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from error


_NO_DATE: dict[str, dict[str, None]] = {"png": {}, "svg": {"Date": None}}


def _figure(comparison: Comparison, seed: int) -> Any:
    # The object interface: pyplot would look for a display and keep every figure.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for row in comparison.rows:
        budgets = sorted(
            int(name.removeprefix("recall@").removesuffix("t"))
            for name in row.values
            if name.startswith("recall@") and name.endswith("t")
        )
        if not budgets:
            raise ConfigError("There is no recall to draw: the questions have no references.")
        found = figures(row, seed)
        recalls = [found[f"recall@{budget}t"] for budget in budgets]
        # A chunk that is larger than the budget is paid in full: it stands where it costs.
        paid = [found[f"tokens@{budget}t"].mean for budget in budgets]
        places = [max(budget, tokens) for budget, tokens in zip(budgets, paid, strict=True)]
        (line,) = axes.plot(
            places, [100 * one.mean for one in recalls], marker="o", markersize=3, label=row.variant
        )
        low, high = [100 * one.low for one in recalls], [100 * one.high for one in recalls]
        axes.fill_between(places, low, high, color=line.get_color(), alpha=0.12, linewidth=0)
    axes.set_xlabel(f"budget ({comparison.tokens})")
    axes.set_ylabel("recall of the reference excerpts, %")
    axes.set_title("\n".join(_wrapped(notes(comparison)[:2])), fontsize=8, loc="left")
    axes.set_ylim(0, 102)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def _wrapped(sentences: list[str], width: int = 110) -> list[str]:
    import textwrap

    return [line for sentence in sentences for line in textwrap.wrap(sentence, width)]


def _page(comparison: Comparison, svg: str, seed: int) -> str:
    """The plot, what must be said beside it, and the figures."""
    budgets = comparison.budgets
    heads = "".join(f"<th>{budget:,}</th>" for budget in budgets)
    rows = []
    for row in comparison.rows:
        found = figures(row, seed)
        cells = "".join(
            f"<td>{100 * one.mean:.1f} <small>{100 * one.low:.1f}–{100 * one.high:.1f}</small></td>"
            for one in (found[f"recall@{budget}t"] for budget in budgets)
        )
        rows.append(f"<tr><th>{html.escape(str(row.variant))}</th>{cells}</tr>")
    said = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in notes(comparison))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Retrieval</title>'
        "<style>body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto}"
        "th{text-align:left;font-weight:500}td,th{padding:.2em .8em .2em 0}small{color:#777}"
        "svg{max-width:100%;height:auto}</style>"
        f"<h1>Recall against the budget</h1>{said}{svg[svg.index('<svg') :]}"
        f"<table><tr><th>recall in %, 95 % interval, at a budget of</th>{heads}</tr>"
        f"{''.join(rows)}</table></html>\n"
    )
