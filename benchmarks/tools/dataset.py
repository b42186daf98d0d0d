"""Questions with the functions offered and the calls wanted, in the format of the Berkeley
Function-Calling Leaderboard (BFCL, https://gorilla.cs.berkeley.edu/leaderboard.html).

A folder holds a file of JSON lines for each category, ``BFCL_v4_<category>.json`` or
``<category>.jsonl``, each line with ``id``, ``question`` (a list of turns, each a list of messages)
and ``function``; and beside it, or in ``possible_answer``, the wanted calls: ``id`` and
``ground_truth``, a list of ``{name: {argument: [allowed values]}}``, in which ``""`` among the
values says that the argument may be left out. Nothing is wanted in category ``irrelevance``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CALLING = ("simple_python", "multiple", "parallel")
IRRELEVANCE = "irrelevance"
CATEGORIES = (*CALLING, IRRELEVANCE)
OWN_SET = Path(__file__).parent / "own_set"
VARIABLE = "LOCALASSIST_BENCH_BFCL"

_JSON_TYPES = {"dict": "object", "float": "number", "tuple": "array"}
_LONGEST_NAME = 64


class DatasetProblem(Exception):
    """A folder does not hold what it should; the message says what is missing where."""


@dataclass(frozen=True, slots=True)
class Item:
    """One question. ``tools`` are as the chat API takes them, names made fit for it; ``functions``
    are the same under those names, with BFCL's type names; ``wanted`` has one mapping per call."""

    id: str
    category: str
    messages: Sequence[Mapping[str, str]]
    tools: Sequence[Mapping[str, Any]]
    functions: Sequence[Mapping[str, Any]]
    wanted: Sequence[Mapping[str, Mapping[str, Sequence[Any]]]]


def add_options(parser: argparse.ArgumentParser) -> None:
    """``--data``, ``--category`` (may be repeated) and ``--limit``."""
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get(VARIABLE),
        help=f"folder with BFCL's categories (default: {VARIABLE}, else the own small set)",
    )
    parser.add_argument("--category", action="append", choices=CATEGORIES, help="default: all")
    parser.add_argument("--limit", type=int, help="at most so many items per category, spread out")


def load(folder: Path | None, category: str, limit: int | None = None) -> list[Item]:
    """The items of a category, in order; ``limit`` takes every k-th. Raises DatasetProblem."""
    folder = OWN_SET if folder is None else folder
    questions = _lines(_found(folder, category, ("BFCL_v4_{}.json", "{}.jsonl")))
    answers: dict[str, Any] = {}
    if category != IRRELEVANCE:
        places = ("BFCL_v4_{}.answers.json", "possible_answer/BFCL_v4_{}.json", "{}.answers.jsonl")
        lines = _lines(_found(folder, category, places))
        answers = {line["id"]: line["ground_truth"] for line in lines}
    missing = [
        line["id"] for line in questions if category in CALLING and line["id"] not in answers
    ]
    if missing:
        raise DatasetProblem(f"{folder}: no answer for {missing[0]}.")
    items = [_item(line, category, answers.get(line["id"], [])) for line in questions]
    return items if limit is None else spread_out(items, limit)


def load_all(options: argparse.Namespace) -> dict[str, list[Item]]:
    """The categories that ``add_options`` chose, and a line that says where they come from."""
    folder = None if options.data is None else Path(options.data)
    if folder is None:
        print(f"The own small set; --data or {VARIABLE} names a folder with BFCL's.", flush=True)
    chosen = dict.fromkeys(options.category or CATEGORIES)
    return {category: load(folder, category, options.limit) for category in chosen}


def name_of(options: argparse.Namespace) -> str:
    """What ``load_all`` reads, for the report."""
    return "own set" if options.data is None else "BFCL v4"


def spread_out(items: Sequence[Item], limit: int) -> list[Item]:
    """At most ``limit``, at even distances."""
    if len(items) <= limit:
        return list(items)
    return [items[index * len(items) // limit] for index in range(limit)]


def json_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """BFCL's type names as JSON Schema's; ``any`` becomes no type, its own ``optional`` goes."""
    converted: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "type" and isinstance(value, str):
            if value != "any":
                converted["type"] = _JSON_TYPES.get(value, value)
        elif key == "properties":
            converted[key] = {name: json_schema(child) for name, child in value.items()}
        elif key == "items":
            converted[key] = json_schema(value)
        elif key != "optional":
            converted[key] = value
    return converted


def api_name(name: str) -> str:
    """The name as the chat API allows it: dots and the like become underscores."""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:_LONGEST_NAME]


def _item(line: Mapping[str, Any], category: str, wanted: Sequence[Mapping[str, Any]]) -> Item:
    functions = [{**found, "name": api_name(found["name"])} for found in line["function"]]
    return Item(
        id=line["id"],
        category=category,
        messages=line["question"][0],
        tools=[
            {
                "type": "function",
                "function": {**found, "parameters": json_schema(found["parameters"])},
            }
            for found in functions
        ],
        functions=functions,
        wanted=[{api_name(name): values for name, values in call.items()} for call in wanted],
    )


def _found(folder: Path, category: str, patterns: Sequence[str]) -> Path:
    names = [pattern.format(category) for pattern in patterns]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DatasetProblem(
        f"{folder} has none of {', '.join(names)}. The data are BFCL's, from the repository "
        "ShishirPatil/gorilla; without --data the own small set is used."
    )


def _lines(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]
