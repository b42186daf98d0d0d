"""The plots on the page of benchmarks, drawn from ``figures.json``: ``python -m benchmarks.plots``.

Measures nothing. The numbers are those of the table in ``README.md``, and a test compares them. The
pictures follow the reader's choice of a dark or light screen, and hold their text as text.
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "benchmarks" / "figures.json"
FOLDER = ROOT / "localassist" / "docs" / "plots"
# Stands for the reader's colour of text, and appears nowhere else.
_TEXT = "#1c2126"
_COLOURS = ("#2f81d6", "#d9822b", "#3d9a50")
_STYLE = (
    "<style>:root{color:#1c2126}@media(prefers-color-scheme:dark){:root{color:#dfe4e9}}</style>"
)


def draw(figure: dict[str, Any]) -> str:
    """One plot as SVG."""
    import matplotlib
    from matplotlib.figure import Figure

    look = {
        "svg.fonttype": "none",
        "svg.hashsalt": figure["file"],
        "font.size": 10,
        "text.color": _TEXT,
        "axes.edgecolor": _TEXT,
        "axes.labelcolor": _TEXT,
        "xtick.color": _TEXT,
        "ytick.color": _TEXT,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with matplotlib.rc_context(look):
        plot = Figure(figsize=(7, 3.4), layout="constrained")
        axes = plot.subplots()
        (_bars if figure["kind"] == "bar" else _lines)(axes, figure)
        axes.set_title(figure["title"], fontsize=11, loc="left")
        axes.set_xlabel(figure["x"])
        axes.set_ylabel(figure["y"])
        highest = max(max(values) for values in figure["series"].values())
        is_bars = figure["kind"] == "bar"
        axes.set_ylim(0, highest * (1.25 if is_bars else 1.12))
        where = {"loc": "upper center", "ncols": 3} if is_bars else {}
        axes.legend(frameon=False, fontsize=9, **where)
        drawn = io.StringIO()
        plot.savefig(
            drawn,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Title": figure["title"]},
        )
    head, _, rest = drawn.getvalue().partition("<defs>")
    return f"{head}{_STYLE}<defs>{rest}".replace(_TEXT, "currentColor").replace(
        ":root{color:currentColor}", f":root{{color:{_TEXT}}}"
    )


def _lines(axes: Any, figure: dict[str, Any]) -> None:
    places = range(len(figure["ticks"]))
    series = zip(figure["series"].items(), _COLOURS, strict=False)
    for number, ((name, values), colour) in enumerate(series):
        axes.plot(places, values, marker="o", color=colour, label=name)
        # The highest line has its numbers above, the others below.
        shift = (0, -13) if number else (0, 5)
        for at in zip(places, values, strict=True):
            axes.annotate(
                f"{at[1]:g}", at, shift, textcoords="offset points", fontsize=8, ha="center"
            )
    axes.set_xticks(places, _ticks(figure))


def _bars(axes: Any, figure: dict[str, Any]) -> None:
    count = len(figure["series"])
    width = 0.84 / count
    for number, (name, values) in enumerate(figure["series"].items()):
        places = [place + (number - (count - 1) / 2) * width for place in range(len(values))]
        bars = axes.bar(places, values, width * 0.92, color=_COLOURS[number], label=name)
        axes.bar_label(bars, fontsize=8)
    if "level" in figure:
        axes.axhline(figure["level"], color=_TEXT, linewidth=0.8, linestyle=":")
    axes.set_xticks(range(len(figure["ticks"])), _ticks(figure))


def _ticks(figure: dict[str, Any]) -> list[str]:
    return [f"{tick:,}" if isinstance(tick, int) else tick for tick in figure["ticks"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER)
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    for figure in json.loads(FIGURES.read_text(encoding="utf-8")):
        path = folder / f"{figure['file']}.svg"
        path.write_text(draw(figure), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
