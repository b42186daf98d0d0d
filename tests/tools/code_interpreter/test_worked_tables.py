"""Worked forms over tables, run by the pandas of the kernel's environment. They are our own cells
over our own data, so a plain process will do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from localassist.tools.code_interpreter.base import DATA_FOLDER, CodeFile
from tests.tools.code_interpreter.asking import BASEBALL, SALES, code_for

pytestmark = pytest.mark.sandbox

RUNNER = Path(__file__).parents[3] / "benchmarks" / "subjects" / "plain_cells.py"
GERMAN = CodeFile(
    "schüler.csv",
    "file-g",
    90,
    'Name;Größe (cm);Note;Beitrag\nAda;162;1,5;"1.200,50"\nBen;185;2,25;900,00\nCal;;3,0;10,00\n',
)
PRICES = CodeFile("prices.csv", "file-p", 60, 'item,cost\nA,"$1,200.50"\nB,$99.50\nC,$300\n')
PEOPLE = CodeFile(
    "people.json", "file-j", 80, '[{"name": "Ada", "age": 30},\n{"name": "Ben", "age": 41}]\n'
)
DAYS = CodeFile("days.csv", "file-d", 80, "day,rain\n13/04/2024,1\n14/04/2024,2\n01/05/2024,5\n")
ODD = CodeFile("odd.csv", "file-o", 60, 'player\'s name,cost \\ "unit"\nAnn,3\nBob,5\n')
BARE = CodeFile("bare.csv", "file-x", 30, "1,2\n3,4\n5,9\n")
MONTHS = CodeFile(
    "months.csv", "file-m", 90, "month,sales,costs\nJan,30,21\nFeb,52,25\nMar,41,23\n"
)
TURNOVER = CodeFile(
    "umsatz.csv",
    "file-u",
    90,
    "Datum;Ort;Umsatz\n01.02.2024;Köln;1.234,50\n02.02.2024;Bonn;987,25\n03.02.2024;Köln;2.000,00\n",
)
DECIMALS = CodeFile("decimals.tsv", "file-c", 40, "name\tvalue\na\t1.250\nb\t2.125\n")
NOTED = CodeFile("noted.csv", "file-o", 60, "# exported, by hand\n\nname,price\na,$1.20\nb,$2.50\n")
MARKED = CodeFile("marked.csv", "file-k", 40, "#id,price\n1,2.5\n2,3.5\n")


# Read before the settings of tests are cleared.
_NAMED = os.environ.get("LOCALASSIST_SANDBOX__ENVIRONMENT")


def python() -> Path:
    folder = Path(_NAMED) if _NAMED else Path(sys.prefix) / "share" / "localassist" / "kernel"
    if not (folder / "bin" / "python").is_file():
        pytest.skip("kernels have no environment here")
    return folder / "bin" / "python"


def outcome(question: str, folder: Path, *files: CodeFile) -> dict[str, Any]:
    for file in files:
        assert file.head is not None
        (folder / file.name).write_text(file.head, "utf-8")
    code = code_for(question, *files).replace(DATA_FOLDER, str(folder))
    done = subprocess.run(
        [python(), "-W", "error", RUNNER],
        input=json.dumps({"cells": [code]}),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["ending"] == "ok", found["logs"]
    return found


@pytest.mark.parametrize(
    ("question", "file", "title"),
    [
        ("Visualize the distribution of WAR across players", BASEBALL, "Distribution of WAR"),
        ("Plot the quantity over time", SALES, "Quantity over time"),
        ("Plot sales over time", SALES, "Sales over time"),
        ("line chart of monthly quantity by region", SALES, "per month by region"),
        ("bar chart of the average price by region", SALES, "Average price by region"),
        ("pie chart of quantity by product", SALES, "Share of quantity by product"),
        ("box plot of price by product", SALES, "price by product"),
        ("scatter plot of price against quantity", SALES, "price against quantity"),
        ("heat map of the correlations", SALES, "Correlation matrix"),
        ("bar chart of products", SALES, "Count by product"),
        ("plot the rain over time", DAYS, "Rain over time"),
        ("histogram of cost", PRICES, "Distribution of cost"),
        ("plot column_1 against column_2", BARE, "column 1 against column 2"),
        ("plot sales and costs by month", MONTHS, "Total sales and costs by month"),
    ],
)
def test_figures(question: str, file: CodeFile, title: str, tmp_path: Path) -> None:
    (figure,) = outcome(question, tmp_path, file)["figures"]
    assert title.lower() in figure.lower()


@pytest.mark.parametrize(
    ("question", "file", "result"),
    [
        ("What is the average price by region?", SALES, "North    15.495"),
        ("Which region sold the most?", SALES, "The highest: East (7)"),
        ("How many products cost more than 10?", SALES, "is 3"),
        ("total quantity in 2025", SALES, "is 7"),
        ("What were the total sales?", SALES, "is 164.97"),
        ("revenue by product", SALES, "Lamp    103.47"),
        ("How many different products are there?", SALES, "is 2"),
        ("Which player has the lowest WAR?", BASEBALL, "Ann Lee"),
        ("top 2 players by WAR", BASEBALL, "Mookie Betts"),
        ("Was ist der Durchschnitt von Note?", GERMAN, "is 2.25"),
        ("What is the sum of Beitrag?", GERMAN, "is 2110.5"),
        ("missing values?", GERMAN, "Größe (cm)    1"),
        ("average cost", PRICES, "is 533.3333"),
        ("What is the average age?", PEOPLE, "is 35.5"),
        ("how much rain on average per month?", DAYS, "2024-04"),
        ("describe the data", SALES, "4 rows, 5 columns"),
        ("correlation of price and quantity", SALES, "is -0."),
        ("sort the rows by price", SALES, "Lamp"),
        ("are there duplicates?", SALES, "Rows that occur before: 0"),
        ("plot sales by month", MONTHS, "Jan    30\nFeb    52\nMar    41"),
        ("Wie hoch ist der Umsatz in Köln?", TURNOVER, "Total Umsatz: 3234.5"),
        ("Wie hoch ist der Umsatz in Köln?", TURNOVER, "01.02.2024"),
        ("total value", DECIMALS, "is 3.375"),
        ("average price", NOTED, "is 1.85"),
        ("average price", MARKED, "is 3.0"),
        ("what is the highest cost?", ODD, "is 5: Bob"),
    ],
)
def test_results(question: str, file: CodeFile, result: str, tmp_path: Path) -> None:
    assert result in outcome(question, tmp_path, file)["logs"]


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("convert it to json", "sales.json"),
        ("give me the table as an excel file", "sales.xlsx"),
        ("sort by price and save it as a file", "sorted_sales.csv"),
    ],
)
def test_files_are_written(question: str, name: str, tmp_path: Path) -> None:
    outcome(question, tmp_path, SALES)
    assert (tmp_path / name).stat().st_size > 50
