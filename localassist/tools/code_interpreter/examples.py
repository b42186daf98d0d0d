"""How a cell is asked of a small model: worked examples as turns, then the files and the task.

The examples come first in every prompt and never change, so their KV cells are computed once.
"""

from __future__ import annotations

from collections.abc import Sequence

from localassist.core import ChatMessage
from localassist.tools.code_interpreter.base import DATA_FOLDER, CodeFile, Execution
from localassist.tools.code_interpreter.tables import tables

_INSTRUCTION = (
    "You write Python code. Answer with code only. Print the results. When a function is asked "
    "for, define it, call it on an example and print what it returns."
)
_MOST_TASK_CHARACTERS = 2000
_LAST_LINES = 2  # of a traceback
_MOST_SHOWN = 300  # characters of them
_MOST_FILES, _MOST_COLUMNS = 8, 20
EXAMPLES = (
    (
        "Write a function that counts the vowels in a text.",
        'def count_vowels(text):\n    return sum(1 for c in text.lower() if c in "aeiou")\n\n'
        'print(count_vowels("Programming is fun"))\n',
    ),
    (
        "A train goes 240 km in 3 hours. How far does it go in 5 hours?",
        'speed = 240 / 3\ndistance = speed * 5\nprint("Distance in km:", distance)\n',
    ),
    (
        f'File "{DATA_FOLDER}/pets.csv" with columns name, kind, age\n\n'
        "How old are the cats on average?",
        f'import pandas as pd\ndf = pd.read_csv("{DATA_FOLDER}/pets.csv")\n'
        'cats = df[df["kind"] == "cat"]\nprint("Average age:", cats["age"].mean())\n',
    ),
    (
        "Write a program that sums the even numbers from 1 to 100.",
        "total = 0\nfor n in range(1, 101):\n    if n % 2 == 0:\n        total += n\n"
        'print("Sum:", total)\n',
    ),
)


def cell_messages(
    question: str, files: Sequence[CodeFile], executions: Sequence[Execution]
) -> list[ChatMessage]:
    """The conversation whose next assistant turn is a cell. How the last cell failed stands with
    the task: to a turn of its own, or to a cell to be corrected, a small model answers in words."""
    messages = [ChatMessage("system", _INSTRUCTION)]
    for asked, code in EXAMPLES:
        messages += [ChatMessage("user", asked), ChatMessage("assistant", code)]
    task = _task(question, files)
    failed = [execution for execution in executions if execution.failed]
    if failed:
        last = failed[-1]
        ended = "\n".join(last.logs.strip().splitlines()[-_LAST_LINES:])[-_MOST_SHOWN:]
        task += f"\n\nAvoid this error:\n{ended or last.ending}"
    messages.append(ChatMessage("user", task))
    return messages


def _task(question: str, files: Sequence[CodeFile]) -> str:
    known = {table.file.file_id: table for table in tables(files)}
    lines = []
    for file in files[:_MOST_FILES]:
        table = known.get(file.file_id)
        names = [column.name for column in table.columns[:_MOST_COLUMNS]] if table else []
        columns = f" with columns {', '.join(names)}" if names else ""
        lines.append(f'File "{DATA_FOLDER}/{file.name}"{columns}')
    asked = question[-_MOST_TASK_CHARACTERS:]
    return "\n".join(lines) + f"\n\n{asked}" if lines else asked
