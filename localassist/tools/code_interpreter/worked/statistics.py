"""What is asked of a table in figures: its measures, or a look at its rows and columns."""

from __future__ import annotations

from localassist.tools.code_interpreter.columns import Meant
from localassist.tools.code_interpreter.wording import (
    COLUMN_NAMES,
    CORRELATION,
    DESCENDING,
    DESCRIBING,
    DUPLICATES,
    FUNCTION,
    MISSING,
    SAVING,
    SORTING,
)
from localassist.tools.code_interpreter.worked.base import (
    Asked,
    Worked,
    cell,
    item,
    literal,
    loading,
    spoken,
)
from localassist.tools.code_interpreter.worked.measures import measured, rows, top

_SHOWN_ROWS = 20


def statistics(asked: Asked) -> Worked | None:
    """What is asked of a table in figures."""
    meant = asked.meant
    if meant is None or not asked.is_about_a_table:
        return None
    if not meant.table.columns:
        made = _described(meant) if DESCRIBING.search(asked.text) or meant.measure else None
        return None if made is None else Worked(made, f"description of {meant.table.file.name}")
    for form in (_correlation, _missing, _duplicates, top, _sorted, rows, measured, _names,
                 _filtered, _description):  # fmt: skip
        made = form(meant)
        if made is not None:
            return Worked(made, f"{form.__name__.strip('_')}: {meant.table.file.name}")
    return None


def overview(asked: Asked) -> Worked | None:
    """What can be said of a table without understanding the question. A small model that writes
    freely about a table makes its results up."""
    meant = asked.meant
    if meant is None or not asked.is_about_a_table or FUNCTION.search(asked.text):
        return None
    return Worked(_described(meant), f"no form fits: an overview of {meant.table.file.name}")


def _sorted(meant: Meant) -> str | None:
    if not SORTING.search(meant.text) or not meant.named:
        return None
    column = meant.group or meant.table.column(next(iter(meant.named)))
    order = "False" if DESCENDING.search(meant.text) else "True"
    name = f"sorted_{meant.table.file.name.rpartition('.')[0]}.csv"
    saved = [f"df.to_csv({literal(f'/mnt/data/{name}')}, index=False)"]
    return cell(
        f"The rows of {meant.table.file.name} in the order of {column.name}",
        *loading(meant, [column]),
        f"df = df.sort_values({literal(column.name)}, ascending={order})",
        *(saved if SAVING.search(meant.text) else []),
        f"print(df.head({_SHOWN_ROWS}).to_string(index=False))",
    )


def _correlation(meant: Meant) -> str | None:
    if not CORRELATION.search(meant.text):
        return None
    numbers = meant.of_kind("number")
    if len(numbers) >= 2:
        first, second = numbers[:2]
        shown = f"correlation of {spoken(first.name)} and {spoken(second.name)}"
        return cell(
            f"The {shown}",
            *loading(meant, [first, second]),
            f"result = {item(first)}.corr({item(second)})",
            f"print({literal(f'The {shown} is')}, round(result, 4))",
        )
    numbers = meant.table.of_kind("number")
    if len(numbers) < 2:
        return None
    return cell(
        f"The correlations between the numbers of {meant.table.file.name}",
        *loading(meant, numbers),
        f"print(df[{literal([column.name for column in numbers])}].corr().round(4).to_string())",
    )


def _missing(meant: Meant) -> str | None:
    if not MISSING.search(meant.text):
        return None
    return cell(
        f"Missing values of {meant.table.file.name}",
        *loading(meant),
        "missing = df.isna().sum()",
        'print("Missing values:", int(missing.sum()))',
        "print(missing.to_string())",
    )


def _duplicates(meant: Meant) -> str | None:
    if not DUPLICATES.search(meant.text):
        return None
    is_removing = any(
        w in meant.text.lower() for w in ("remov", "drop", "dedup", "without", "clean")
    )
    name = f"without_duplicates_{meant.table.file.name.rpartition('.')[0]}.csv"
    lines = ["count = int(df.duplicated().sum())", 'print("Rows that occur before:", count)']
    if is_removing:
        lines += [
            "df = df.drop_duplicates()",
            f"df.to_csv({literal(f'/mnt/data/{name}')}, index=False)",
            'print("Rows left:", len(df))',
        ]
    else:
        lines.append("print(df[df.duplicated(keep=False)].head(20).to_string(index=False))")
    return cell(f"Duplicate rows of {meant.table.file.name}", *loading(meant), *lines)


def _names(meant: Meant) -> str | None:
    if not COLUMN_NAMES.search(meant.text):
        return None
    return cell(
        f"The columns of {meant.table.file.name}",
        *loading(meant),
        'print("Columns:", len(df.columns))',
        "print(df.dtypes.to_string())",
    )


def _filtered(meant: Meant) -> str | None:
    """The rows themselves, and what their amounts come to."""
    if not meant.conditions:
        return None
    amounts = [column for column in meant.of_kind("number") if column.is_additive]
    return cell(
        f"The rows of {meant.table.file.name}{meant.condition_words}",
        *loading(meant, amounts),
        'print("Rows:", len(df))',
        f"print(df.head({_SHOWN_ROWS}).to_string(index=False))",
        *(
            f"print({literal(f'Total {spoken(c.name)}:')}, round({item(c)}.sum(), 4))"
            for c in amounts
        ),
    )


def _description(meant: Meant) -> str | None:
    return _described(meant) if DESCRIBING.search(meant.text) else None


def _described(meant: Meant) -> str:
    return cell(
        f"An overview of {meant.table.file.name}",
        *loading(meant),
        'print(f"{len(df)} rows, {len(df.columns)} columns")',
        "print(df.head().to_string(index=False))",
        "print()",
        'print(df.describe(include="all").round(4).to_string())',
    )
