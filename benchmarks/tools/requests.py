"""Requests with tools, and what a model that calls them well would write: for timing grammars."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.tools.dataset import Item
from localassist.chat.formats import FORMATS, ToolCallFormat
from localassist.core import ToolCall, ToolSpec

FORMAT: ToolCallFormat = FORMATS["hermes"]
_WORDS = "None of my tools can help with this question."


@dataclass(frozen=True, slots=True)
class Request:
    """``written`` is the answer as ``FORMAT`` has it."""

    tools: Sequence[ToolSpec]
    written: str


def of_items(items: Iterable[Item]) -> list[Request]:
    """One for each list of tools: one that was seen before is not compiled again."""
    first: dict[str, Item] = {}
    for item in items:
        first.setdefault(json.dumps(item.tools, sort_keys=True), item)
    return [_of_item(item) for item in first.values()]


def of_schemas(file: Path) -> list[Request]:
    """Out of JSON lines with a ``schema`` each and its ``valid`` instances: one tool with these
    parameters, called with the first of the instances. Only of schemas that take objects."""
    requests = []
    for line in file.read_text("utf-8").splitlines():
        found = json.loads(line)
        schema, examples = found["schema"], found.get("valid", [])
        takes_objects = schema.get("type", "object") == "object"
        if takes_objects and all(isinstance(one, dict) for one in examples):
            arguments = examples[:1] or [{}]
            tool = ToolSpec("use", parameters=schema)
            requests.append(Request([tool], _calls([("use", arguments[0])])))
    return requests


def _of_item(item: Item) -> Request:
    offered = [tool["function"] for tool in item.tools]
    tools = [
        ToolSpec(one["name"], one.get("description", ""), one["parameters"]) for one in offered
    ]
    calls = []
    for answer in item.wanted:
        ((name, allowed),) = answer.items()
        parameters = next(f for f in item.functions if f["name"] == name)["parameters"]
        required = parameters.get("required", ())
        values = {
            key: _value(allowed[key])
            for key in parameters["properties"]
            if key in allowed and (key in required or "" not in allowed[key])
        }
        calls.append((name, values))
    return Request(tools, _calls(calls) if calls else _WORDS)


def _calls(calls: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    return FORMAT.render_calls([ToolCall("", name, json.dumps(values)) for name, values in calls])


def _value(allowed: Sequence[Any]) -> Any:
    """The first value that is one."""
    return _example(next((choice for choice in allowed if choice != ""), ""))


def _example(choice: Any) -> Any:
    """Dicts in an answer hold allowed values for each key."""
    if isinstance(choice, dict):
        return {key: _value(ones) for key, ones in choice.items() if "" not in ones}
    return [_example(one) for one in choice] if isinstance(choice, list) else choice
