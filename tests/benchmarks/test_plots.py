"""The plots of the documentation show what the table of figures says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks import plots

FIGURES: list[dict[str, Any]] = json.loads(plots.FIGURES.read_text(encoding="utf-8"))
TABLE = (plots.ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
EACH = pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure["file"])


def shipped(figure: dict[str, Any]) -> str:
    return (plots.FOLDER / f"{figure['file']}.svg").read_text(encoding="utf-8")


@EACH
def test_every_number_is_one_of_the_table(figure: dict[str, Any]) -> None:
    (row,) = [line for line in TABLE.splitlines() if f"`{figure['command']}`" in line]
    known = set(re.findall(r"\d+(?:\.\d+)?", row.replace(",000", "000")))
    for values in figure["series"].values():
        assert len(values) == len(figure["ticks"])
        assert {f"{value:g}" for value in values} <= known


@EACH
def test_what_is_shipped_is_what_would_be_drawn(figure: dict[str, Any]) -> None:
    def texts(svg: str) -> list[str]:
        return re.findall(r"<text[^>]*>([^<]*)</text>", svg)

    drawn = plots.draw(figure)
    assert texts(shipped(figure)) == texts(drawn), "run python -m benchmarks.plots"
    said = {text.replace("−", "-") for text in texts(drawn)}
    assert {f"{value:g}" for values in figure["series"].values() for value in values} <= said


@EACH
def test_pictures_are_small_and_load_nothing(figure: dict[str, Any]) -> None:
    svg = shipped(figure)
    assert len(svg) < 30_000 and "prefers-color-scheme:dark" in svg
    assert not re.search(r"<script|<image|href=\"(?!#)|url\((?!#)|@import", svg)


def test_no_other_pictures_are_shipped() -> None:
    assert {path.stem for path in Path(plots.FOLDER).iterdir()} == {f["file"] for f in FIGURES}
