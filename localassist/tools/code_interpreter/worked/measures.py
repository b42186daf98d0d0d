"""Measures of a table's columns: of all rows that are meant, or of each group of them."""

from __future__ import annotations

from localassist.tools.code_interpreter.columns import Meant
from localassist.tools.code_interpreter.tables import Column
from localassist.tools.code_interpreter.wording import COLUMN_NAMES, ROWS, Measure, top_of
from localassist.tools.code_interpreter.worked.base import (
    MEASURED,
    cell,
    escaped,
    item,
    literal,
    loading,
    spoken,
)


def measured(meant: Meant) -> str | None:
    measure = meant.measure
    column = _measured_column(meant, measure)
    if measure is None:
        group = meant.group
        if group is None or not meant.of_kind("number", group):
            return None
        measure, column = "sum", meant.of_kind("number", group)[0]
    group = _group(meant, column, measure)
    if measure == "count":
        amounts = [c for c in meant.of_kind("number", group) if c.is_additive]
        if not amounts or ROWS.search(meant.text):
            return _counted(meant, group)
        column, measure = amounts[0], "sum"
    if column is None:
        return None
    if group is not None:
        return _grouped(meant, column, group, measure)
    if measure in ("max", "min") and meant.table.of_kind("text"):
        return _extreme(meant, column, measure)
    shown = f"{MEASURED[measure]} {spoken(column.name)}{meant.condition_words}"
    value = "result" if measure == "nunique" else "round(result, 4)"
    more = (
        [f"print(sorted({item(column)}.dropna().unique().tolist())[:100])"]
        if measure == "nunique"
        else []
    )
    return cell(
        f"The {shown}",
        *loading(meant, [column]),
        f"result = {item(column)}.{measure}()",
        f"print({literal(f'The {shown} is')}, {value})",
        *more,
    )


def _measured_column(meant: Meant, measure: Measure | None) -> Column | None:
    if measure == "nunique":
        named = [meant.table.column(name) for name in meant.named]
        return next((column for column in named if column is not meant.group), None)
    return meant.number(meant.group)


def _group(meant: Meant, column: Column | None, measure: Measure) -> Column | None:
    """What the measure is taken for each of; "which region sold most" means each region."""
    if meant.group is not None and meant.group != column:
        return meant.group
    labels = [label for label in meant.of_kind("text", column) if _repeats(label)]
    if measure == "count":
        return None
    is_which = any(word in meant.text.lower() for word in ("which", "what", "who", "welche"))
    wants_each = is_which and _superlative(meant) is not None
    return labels[0] if labels and wants_each and measure != "nunique" else None


def _superlative(meant: Meant) -> bool | None:
    """Whether the largest or the smallest of all groups is asked for."""
    said = f" {meant.text.lower()} "
    if any(f" {word} " in said for word in ("lowest", "smallest", "least", "fewest", "worst")):
        return False
    words = ("highest", "largest", "most", "best", "biggest", "greatest", "top", "höchste")
    return True if any(f" {word}" in said for word in words) else None


def _repeats(column: Column) -> bool:
    return len(set(column.values)) < len(column.values)


def _grouped(meant: Meant, column: Column, group: Column, measure: Measure) -> str:
    extreme = _superlative(meant)
    how = measure
    if measure in ("max", "min") and meant.group is None and column.is_additive:
        # "Which region has the highest sales": the total of each decides.
        how = "sum"
    shown = f"{MEASURED[how]} {spoken(column.name)} by {spoken(group.name)}{meant.condition_words}"
    loaded = [column, group] if group.kind == "date" else [column]
    order = "sort_index()" if group.kind != "text" else "sort_values(ascending=False)"
    key = item(group) if group.kind != "date" else _period(meant, group)
    lines = [
        f"result = df.groupby({key if group.kind == 'date' else literal(group.name)})"
        f"[{literal(column.name)}].{how}().{order}",
        f"print({literal(f'The {shown}:')})",
        "print(result.round(4).to_string())",
    ]
    if extreme is not None and meant.group is None:
        word, place = ("highest", "idxmax") if extreme else ("lowest", "idxmin")
        value = "max" if extreme else "min"
        lines.append(
            f'print({literal(f"The {word}:")}, f"{{result.{place}()}} ({{result.{value}():.6g}})")'
        )
    return cell(f"The {shown}", *loading(meant, loaded), *lines)


def _period(meant: Meant, group: Column) -> str:
    said = meant.text.lower()
    for word, code in (("month", "M"), ("year", "Y"), ("quarter", "Q"), ("week", "W")):
        if word in said:
            return f'{item(group)}.dt.to_period("{code}")'
    return item(group)


def _extreme(meant: Meant, column: Column, measure: Measure) -> str:
    """The row with the highest or lowest value."""
    place = "idxmax" if measure == "max" else "idxmin"
    labels = meant.of_kind("text", column) or meant.table.of_kind("text")
    label = labels[0]
    word = MEASURED[measure]
    return cell(
        f"The {word} {spoken(column.name)}{meant.condition_words}",
        *loading(meant, [column]),
        f"row = df.loc[{item(column)}.{place}()]",
        f"value, label = row[{literal(column.name)}], row[{literal(label.name)}]",
        f'print(f"The {word} {escaped(spoken(column.name))} is {{value}}: {{label}}")',
        "print(row.to_string())",
    )


def _counted(meant: Meant, group: Column | None) -> str | None:
    if group is not None:
        shown = f"number of rows by {spoken(group.name)}{meant.condition_words}"
        return cell(
            f"The {shown}",
            *loading(meant, [group] if group.kind == "date" else []),
            f"result = {item(group)}.value_counts()",
            f"print({literal(f'The {shown}:')})",
            "print(result.to_string())",
        )
    if COLUMN_NAMES.search(meant.text) and not ROWS.search(meant.text):
        return None
    return cell(
        f"The number of rows{meant.condition_words}",
        *loading(meant),
        f"print({literal(f'The number of rows{meant.condition_words} is')}, len(df))",
    )


def rows(meant: Meant) -> str | None:
    is_count = meant.measure == "count" and ROWS.search(meant.text)
    return _counted(meant, meant.group) if is_count else None


def top(meant: Meant) -> str | None:
    top = top_of(meant.text)
    by = meant.group
    column = by if by is not None and by.kind == "number" else meant.number(by)
    if top is None or column is None or ROWS.search(meant.text):
        return None
    count, is_largest = top
    labels = meant.of_kind("text", column)
    word = "highest" if is_largest else "lowest"
    function = "nlargest" if is_largest else "nsmallest"
    if labels and _repeats(labels[0]):
        label = labels[0]
        measure = meant.measure
        how = measure if measure in ("mean", "median") else "sum" if column.is_additive else "max"
        return cell(
            f"{label.name} with the {count} {word} {how} of {column.name}{meant.condition_words}",
            *loading(meant, [column]),
            f"groups = df.groupby({literal(label.name)})[{literal(column.name)}]",
            f"result = groups.{how}().{function}({count})",
            "print(result.round(4).to_string())",
        )
    return cell(
        f"The {count} rows with the {word} {column.name}{meant.condition_words}",
        *loading(meant, [column]),
        f"result = df.{function}({count}, {literal(column.name)})",
        "print(result.to_string(index=False))",
    )
