"""Figures of a table's columns."""

from __future__ import annotations

from localassist.tools.code_interpreter.columns import Meant
from localassist.tools.code_interpreter.tables import Column
from localassist.tools.code_interpreter.wording import PLOTTING, Plot, top_of
from localassist.tools.code_interpreter.worked.base import (
    MEASURED,
    Asked,
    Worked,
    cell,
    escaped,
    item,
    literal,
    loading,
    spoken,
)

_IMPORT = "import matplotlib.pyplot as plt"
_MOST_BARS = 30


def figure(asked: Asked) -> Worked | None:
    """The figure a question asks for, of the columns it means."""
    meant = asked.meant
    plot = None if meant is None else meant.plot
    if meant is None or not meant.table.columns or not PLOTTING.search(asked.text):
        if plot is None or plot in ("bar", "scatter", "line") or meant is None:
            return None
        if not meant.table.columns:
            return None
    chosen = plot or _fitting(meant)
    made = _FORMS[chosen](meant) if chosen is not None else None
    return None if made is None else Worked(made, f"{chosen} of {meant.table.file.name}")


def _fitting(meant: Meant) -> Plot | None:
    """The kind of figure for the columns that are named, where no kind is."""
    numbers, labels = meant.of_kind("number"), meant.of_kind("text")
    if meant.of_kind("date") or any(column.is_year for column in numbers):
        return "line"
    if labels or meant.group is not None:
        return "bar"
    if len(numbers) >= 2:
        return "scatter"
    if numbers:
        return "histogram"
    if meant.time() is not None and meant.table.of_kind("number"):
        return "line"
    return "bar" if meant.table.of_kind("text") else "histogram"


def _histogram(meant: Meant) -> str | None:
    named_labels = meant.of_kind("text")
    column = meant.number()
    if column is None or (named_labels and not meant.of_kind("number") and not meant.similarities):
        return _counts(meant, named_labels[0]) if named_labels else None
    across = next((c for c in named_labels if c is not column), None)
    title = f"Distribution of {spoken(column.name)}"
    title += f" across {_plural(across)}" if across is not None else ""
    title += meant.condition_words
    return cell(
        f"Histogram of {column.name}{meant.condition_words}",
        *loading(meant, [column], imports=_IMPORT),
        f"values = {item(column)}.dropna()",
        "",
        "plt.figure(figsize=(8, 5))",
        'plt.hist(values, bins="auto", edgecolor="white")',
        *_axes(title, spoken(column.name), "Count"),
        f'print(f"{escaped(column.name)}: {{len(values)}} values from {{values.min():.6g}} to '
        f'{{values.max():.6g}}, mean {{values.mean():.6g}}, median {{values.median():.6g}}")',
    )


def _box(meant: Meant) -> str | None:
    column = meant.number()
    if column is None:
        return None
    group = meant.group or next(iter(meant.of_kind("text", column)), None)
    title, by, values = spoken(column.name), "", item(column)
    if group is not None:
        title += f" by {spoken(group.name)}"
        by = f", by={literal(group.name)}"
        values = f"df.groupby({literal(group.name)})[{literal(column.name)}]"
    return cell(
        f"Box plot of {title}{meant.condition_words}",
        *loading(meant, [column], imports=_IMPORT),
        "",
        f"df.boxplot(column={literal(column.name)}{by}, figsize=(8, 5))",
        'plt.suptitle("")',
        *_axes(f"Box plot of {title}{meant.condition_words}", spoken(group.name) if group else "",
               spoken(column.name)),
        f"print({values}.describe().round(4).to_string())",
    )  # fmt: skip


def _scatter(meant: Meant) -> str | None:
    named = meant.of_kind("number")
    numbers = [*named, *(c for c in meant.table.of_kind("number") if c not in named)]
    if len(numbers) < 2 or (len(named) < 2 and len(numbers) > 2):
        return None
    first, second = numbers[:2]
    # "Price against size" has the price upwards.
    is_reversed = any(word in meant.text.lower() for word in ("against", " vs", "versus"))
    across, up = (second, first) if is_reversed else (first, second)
    title = f"{spoken(up.name)} against {spoken(across.name)}{meant.condition_words}"
    return cell(
        f"Scatter plot of {up.name} against {across.name}{meant.condition_words}",
        *loading(meant, [first, second], imports=_IMPORT),
        "",
        "plt.figure(figsize=(8, 5))",
        f"plt.scatter({item(across)}, {item(up)}, alpha=0.7)",
        *_axes(title, spoken(across.name), spoken(up.name)),
        f"correlation = {item(across)}.corr({item(up)})",
        'print(f"Correlation: {correlation:.4f}")',
    )


def _heatmap(meant: Meant) -> str | None:
    numbers = meant.of_kind("number") or meant.table.of_kind("number")
    if len(numbers) < 2:
        return None
    return cell(
        f"Correlations between the numbers of {meant.table.file.name}",
        *loading(meant, numbers, imports=_IMPORT),
        f"correlations = df[{literal([column.name for column in numbers])}].corr()",
        "",
        "plt.figure(figsize=(8, 6))",
        'plt.imshow(correlations, cmap="coolwarm", vmin=-1, vmax=1)',
        'plt.colorbar(label="Correlation")',
        'plt.xticks(range(len(correlations)), correlations.columns, rotation=45, ha="right")',
        "plt.yticks(range(len(correlations)), correlations.columns)",
        *_axes("Correlation matrix", "", ""),
        "print(correlations.round(3).to_string())",
    )


def _line(meant: Meant) -> str | None:
    time = meant.time()
    column = meant.number(time) or next(iter(meant.table.of_kind("number")), None)
    if time is None:
        return _bar(meant)
    if column is None:
        return _dates(meant, time) if time.kind == "date" else None
    group = meant.group if meant.group is not None and meant.group.kind == "text" else None
    how = meant.measure
    how = how if how in ("mean", "median", "max", "min") else "sum"
    period, unit = _period(meant, time)
    title = f"{spoken(column.name)} {unit}{f' by {spoken(group.name)}' if group else ''}"
    title += meant.condition_words
    key = f"[{period}, {item(group)}]" if group is not None else period
    unstacked = ".unstack()" if group is not None else ""
    made = f"df.groupby({key})[{literal(column.name)}].{how}(){unstacked}.sort_index()"
    return cell(
        f"Line chart of {title}",
        *loading(meant, [time, column], imports=_IMPORT),
        f"series = {made}",
        "",
        'series.plot(figsize=(9, 5), marker="o")',
        *_axes(title[:1].upper() + title[1:], spoken(time.name), spoken(column.name)),
        "print(series.tail(12).to_string())" if group is not None else
        f'print(f"{escaped(column.name)} from {{str(series.index.min())[:10]}} to '
        "{str(series.index.max())[:10]}: "
        'lowest {series.min():.6g}, highest {series.max():.6g}, last {series.iloc[-1]:.6g}")',
    )  # fmt: skip


def _period(meant: Meant, time: Column) -> tuple[str, str]:
    """What is grouped by, and how that is said."""
    said = meant.text.lower()
    if time.kind == "date":
        for word, code in (("month", "M"), ("quarter", "Q"), ("week", "W"), ("monat", "M")):
            if word in said:
                return f'{item(time)}.dt.to_period("{code}")', f"per {word}"
        if "year" in said or "jahr" in said or "annual" in said:
            return f"{item(time)}.dt.year", "per year"
    return item(time), "over time"


def _dates(meant: Meant, time: Column) -> str:
    """How many rows there are over time."""
    return cell(
        f"Line chart of rows over {time.name}",
        *loading(meant, [time], imports=_IMPORT),
        f'series = df.groupby({item(time)}.dt.to_period("M")).size()',
        "",
        'series.plot(figsize=(9, 5), marker="o")',
        *_axes("Rows per month", spoken(time.name), "Count"),
        "print(series.to_string())",
    )


def _bar(meant: Meant) -> str | None:
    column = meant.number(meant.group)
    group = _group(meant, column)
    if group is None:
        return None
    how = meant.measure
    named = meant.of_kind("number", group)
    if how == "count" or column is None or (not named and how is None):
        return _counts(meant, group)
    how = how if how in ("mean", "median", "max", "min", "sum") else "sum"
    top = top_of(meant.text)
    limit = min(top[0], _MOST_BARS) if top is not None else _MOST_BARS
    shown = [column, *(c for c in meant.of_kind("number", group, column) if top is None)]
    label = f"{MEASURED[how].capitalize()} {' and '.join(spoken(c.name) for c in shown)}"
    title = f"{label} by {spoken(group.name)}{meant.condition_words}"
    names = [c.name for c in shown]
    key = literal(group.name)
    order = f".sort_values(ascending={'False' if top is None or top[1] else 'True'})"
    if top is None and group.is_calendar:
        key, order = f"{key}, sort=False", ""
    elif len(names) > 1 or (top is None and group.kind != "text"):
        order = ""
    made = f"df.groupby({key})[{literal(names if len(names) > 1 else column.name)}].{how}(){order}"
    return cell(
        f"Bar chart of {title}",
        *loading(meant, shown, imports=_IMPORT),
        f"bars = {made}.head({limit})",
        "",
        "bars.plot.bar(figsize=(9, 5))",
        *_axes(title, spoken(group.name), label),
        "print(bars.round(4).to_string())",
    )


def _group(meant: Meant, column: Column | None) -> Column | None:
    """What the bars stand for."""
    time = meant.time()
    named_time = time if time is not None and time.name in meant.named else None
    return meant.group or meant.label(column) or (named_time if named_time != column else None)


def _counts(meant: Meant, group: Column) -> str:
    title = f"Count by {spoken(group.name)}{meant.condition_words}"
    return cell(
        f"Bar chart of how often each {group.name} occurs{meant.condition_words}",
        *loading(meant, [group], imports=_IMPORT),
        f"bars = {item(group)}.value_counts().head({_MOST_BARS})",
        "",
        "bars.plot.bar(figsize=(9, 5))",
        *_axes(title, spoken(group.name), "Count"),
        "print(bars.to_string())",
    )


def _pie(meant: Meant) -> str | None:
    named = meant.of_kind("number")
    group = _group(meant, named[0] if named else None)
    if group is None:
        return None
    loaded = [named[0]] if named else []
    made = (
        f"df.groupby({literal(group.name)})[{literal(named[0].name)}].sum()"
        if named
        else f"{item(group)}.value_counts()"
    )
    of = spoken(named[0].name) if named else "rows"
    title = f"Share of {of} by {spoken(group.name)}{meant.condition_words}"
    return cell(
        f"Pie chart: {title}",
        *loading(meant, loaded, imports=_IMPORT),
        f"shares = {made}.sort_values(ascending=False).head({_MOST_BARS})",
        "",
        'shares.plot.pie(figsize=(7, 7), autopct="%1.1f%%", ylabel="")',
        *_axes(title, "", ""),
        "print((shares / shares.sum() * 100).round(2).to_string())",
    )


def _axes(title: str, across: str, up: str) -> list[str]:
    return [
        f"plt.title({literal(title)})",
        *([f"plt.xlabel({literal(across)})"] if across else []),
        *([f"plt.ylabel({literal(up)})"] if up else []),
        "plt.tight_layout()",
        "plt.show()",
    ]


def _plural(column: Column) -> str:
    name = spoken(column.name)
    return name if name.endswith("s") else f"{name}s"


_FORMS = {
    "histogram": _histogram,
    "box": _box,
    "scatter": _scatter,
    "pie": _pie,
    "heatmap": _heatmap,
    "line": _line,
    "bar": _bar,
}
