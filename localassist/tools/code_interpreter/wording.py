"""The words by which people ask for code, as tables; English, and other languages where a word is
enough."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

Plot = Literal["histogram", "box", "scatter", "pie", "heatmap", "line", "bar"]
Measure = Literal["mean", "median", "sum", "min", "max", "std", "nunique", "count"]


def _any(*forms: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(forms)})\b", re.IGNORECASE)


# The first that fits.
PLOTS: tuple[tuple[Plot, re.Pattern[str]], ...] = (
    ("histogram", _any("histogramm?e?", "distribut\\w+", "verteilung\\w*", "spread (?:of|out)")),
    ("box", _any("box ?-?plots?", "boxplots?", "whiskers?", "quartiles?", "violins?")),
    ("pie", _any("pie(?: chart| plot)?", "kuchendiagramm\\w*", "tortendiagramm\\w*", "donut")),
    ("heatmap", _any("heat ?-?maps?", "correlation (?:matrix|plot)")),
    (
        "scatter",
        _any("scatter(?:ed)?(?: ?plots?)?", "streudiagramm\\w*", "relationship between", "against"),
    ),
    (
        "line",
        _any(
            "line (?:chart|graph|plot)s?", "linien\\w*", "over time", "over the (?:years|months)",
            "trends?", "time ?series", "zeitverlauf", "verlauf", "zeitlich\\w*", "evolution",
            "develop(?:ment|ed)",
        ),
    ),
    ("bar", _any("bar(?: ?-?(?:chart|graph|plot)s?)?", "balken\\w*", "säulen\\w*", "column chart")),
)  # fmt: skip
PLOTTING = _any(
    "plot(?:s|te[dn]?|ting)?", "visuali[sz]\\w+", "visualisier\\w*", "chart(?:s|ed|ing)?",
    "\\w*diagramm\\w*",
    "graph(?:s|ed|isch)?", "draw", "diagram\\w*", "figures?", "grafik\\w*", "zeichne\\w*",
    "stelle .{0,60} dar", "tracer?", "grafi[ck]\\w*", "trends?", "histogramm?s?",
    "scatter ?plots?", "box ?plots?", "heat ?maps?", "pie charts?", "bar charts?",
)  # fmt: skip
MEASURES: tuple[tuple[Measure, re.Pattern[str]], ...] = (
    ("median", _any("medians?", "mediane?")),
    ("mean", _any("means?", "averages?", "avg", "durchschnitt\\w*", "mittelwert\\w*", "moyenne",
                  "promedio", "on average", "typical(?:ly)?")),
    ("std", _any("standard deviations?", "std", "standardabweichung\\w*", "variability")),
    ("nunique", _any("how many (?:different|distinct|unique)", "(?:number|count) of (?:different"
                     "|distinct|unique)", "distinct", "unique", "wie viele verschiedene")),
    ("max", _any("max(?:imum|imal)?", "highest", "largest", "biggest", "greatest", "best", "oldest",
                 "tallest", "most expensive", "höchste\\w*", "größte\\w*", "longest", "top")),
    ("min", _any("min(?:imum|imal)?", "lowest", "smallest", "cheapest", "least", "youngest",
                 "worst", "shortest", "fewest", "niedrigste\\w*", "kleinste\\w*")),
    ("sum", _any("sums?", "totals?", "altogether", "overall", "summe\\w*", "gesamt\\w*",
                 "insgesamt", "somme", "add(?:ed)? up", "combined", "most")),
    ("count", _any("how many", "counts?", "number of", "anzahl", "wie ?viele", "combien",
                   "frequenc(?:y|ies)", "häufigkeit\\w*", "how often")),
)  # fmt: skip
TOP = re.compile(
    r"\b(?:top|first|best|highest|largest|biggest|most)\s+(\d{1,3})\b"
    r"|\b(\d{1,3})\s+(?:\w+\s+)?(?:highest|largest|biggest|best|most|top|greatest|oldest)\b"
    r"|\b(?:bottom|lowest|smallest|worst|cheapest)\s+(\d{1,3})\b"
    r"|\b(\d{1,3})\s+(?:\w+\s+)?(?:lowest|smallest|worst|cheapest|least|youngest)\b",
    re.IGNORECASE,
)
SALES = _any("sales", "revenue", "turnover", "umsatz", "umsätze", "earned", "income")
CORRELATION = _any("correlat\\w+", "korrel\\w+", "relat(?:ed|ion|ionship)", "zusammenhang")
DESCRIBING = _any(
    "describe", "summar(?:y|i[sz]e|ies)", "overview", "statistics", "stats", "explore",
    "analy[sz]e", "analysis", "look at", "look like", "inspect", "beschreib\\w*", "überblick",
    "zusammenfass\\w*", "analysier\\w*", "what (?:is|'s|does|are) .{0,30}(?:in|contain|about)",
    "tell me about", "show me", "preview", "head", "insights?",
    "first (?:few |\\d+ )?(?:rows|lines)",
)  # fmt: skip
MISSING = _any("missing", "nulls?", "nans?", "empty (?:cells|values)", "fehlende\\w*", "incomplete")
DUPLICATES = _any("duplicates?", "duplicated?", "doppelte?\\w*", "dedup\\w*", "repeated rows")
ROWS = _any(
    "rows?", "records?", "entries", "lines?", "observations?", "zeilen", "datensätze", "data points"
)
COLUMN_NAMES = _any("columns?", "fields?", "spalten\\w*", "variables", "headers?")
SORTING = _any("sort(?:ed|ing|iere\\w*)?", "order(?:ed)? by", "rank(?:ed|ing)?", "arrange\\w*")
DESCENDING = _any(
    "desc(?:ending)?", "highest first", "largest first", "high to low", "largest to smallest",
    "highest to lowest", "absteigend", "decreasing", "reverse", "rank(?:ed|ing)?",
)  # fmt: skip
CONVERTING = re.compile(
    r"\b(?:convert|turn|transform|change|export|save|write|konvertier\w*|umwandel\w*|wandle|store"
    r"|download|give me|make|create|generate|provide|produce|speicher\w*)\b.{0,80}?"
    r"\b(json|excel|xlsx|csv|tsv|html|markdown|parquet)\b",
    re.IGNORECASE | re.DOTALL,
)
SAVING = _any("save", "write", "export", "download\\w*", "store", "file", "speicher\\w*", "datei")
FUNCTION = re.compile(
    r"\b(?:python|py)\b.{0,40}\b(?:function|program|script|code|class|snippet|method|one-liner)\b"
    r"|\b(?:write|create|make|give|show|implement|code|build|develop|provide|need|generate|define"
    r"|schreib\w*|erstell\w*|programmier\w*|écris)\b.{0,40}"
    r"\b(?:function|program|script|code|algorithm|class|method|loop|funktion|programm|skript"
    r"|fonction|función)\b"
    r"|\b(?:implement|code up|program)\s+(?:an?|the)\b|\bin python\b|\bpython (?:function|code)\b",
    re.IGNORECASE | re.DOTALL,
)
FUNCTION_ONLY = _any("functions?", "method", "funktion(?:en)?", "fonction", "función")
# Whoever wants to know about code, not to have it run.
EXPLAINING = re.compile(
    r"^\W*(?:what (?:is|are) (?!the (?:sum|result|value|output|average|mean))|who |why |when was"
    r"|explain|what does .{0,40} mean|define |tell me about (?!the (?:data|file|csv))"
    r"|(?:is|are) python |how (?:does|do|did|can i|should) )",
    re.IGNORECASE,
)


DATA_WORDS = _any(
    "data", "data ?sets?", "files?", "tables?", "csv", "excel", "spreadsheets?", "rows?",
    "columns?", "records?", "entries", "sheet", "values", "daten\\w*", "datei", "tabelle",
    "zeilen", "spalten",
)  # fmt: skip


def plot_of(text: str) -> Plot | None:
    """The kind of figure that is asked for by name or by what it shows."""
    return next((plot for plot, form in PLOTS if form.search(text)), None)


def measure_of(text: str) -> Measure | None:
    return next((measure for measure, form in MEASURES if form.search(text)), None)


def top_of(text: str) -> tuple[int, bool] | None:
    """How many of the first, and whether the largest are meant."""
    match = TOP.search(text)
    if match is None:
        return None
    largest = match[1] or match[2]
    return int(largest or match[3] or match[4]), largest is not None


def has_any(text: str, forms: Sequence[re.Pattern[str]]) -> bool:
    return any(form.search(text) for form in forms)
