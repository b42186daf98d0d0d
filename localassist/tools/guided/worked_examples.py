"""How a call is put to a small model: one function, one question, the arguments as JSON.

The worked examples come first in every prompt and never change, so their KV cells are computed
once and shared by all calls of all conversations.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from localassist.core import ChatMessage, ToolSpec
from localassist.tools.evidence.words import name_words

_SHOWN_OPTIONS = 32  # a grammar holds them all
_INSTRUCTION = (
    "Answer the question by filling in the arguments of the function as JSON. "
    "Copy values from the question."
)


def argument_messages(tool: ToolSpec, question: str) -> list[ChatMessage]:
    """The conversation whose next assistant turn is the arguments of ``tool``."""
    messages = [ChatMessage("system", _INSTRUCTION)]
    for example, asked, arguments in _EXAMPLES:
        messages.append(ChatMessage("user", _task(example, asked)))
        messages.append(ChatMessage("assistant", json.dumps(arguments)))
    messages.append(ChatMessage("user", _task(tool, question)))
    return messages


def summary(tool: ToolSpec) -> str:
    """The tool in one line, as someone would speak of it."""
    return f"{' '.join(name_words(tool.name))}: {tool.description}"


def _task(tool: ToolSpec, question: str) -> str:
    return f"Function:\n{_signature(tool)}\n\nQuestion: {question}"


def _signature(tool: ToolSpec) -> str:
    required = tool.parameters.get("required", ())
    lines = [f"{tool.name}: {tool.description}"]
    for name, schema in tool.parameters.get("properties", {}).items():
        kind = _kind(schema) + ("" if name in required else ", optional")
        described = schema.get("description", "") if isinstance(schema, Mapping) else ""
        lines.append(f"- {name} ({kind}): {described}")
    return "\n".join(lines)


def _kind(schema: Any) -> str:
    """A type as a reader of code would write it."""
    if not isinstance(schema, Mapping):
        return "any"
    if "enum" in schema:
        shown = [json.dumps(v, ensure_ascii=False) for v in schema["enum"][:_SHOWN_OPTIONS]]
        return " | ".join([*shown, "…"] if len(schema["enum"]) > _SHOWN_OPTIONS else shown)
    kind = schema.get("type")
    if kind == "array":
        return f"{_kind(schema.get('items', {}))}[]"
    if kind == "object" and schema.get("properties"):
        fields = (f"{name}: {_kind(child)}" for name, child in schema["properties"].items())
        return "{" + ", ".join(fields) + "}"
    return kind if isinstance(kind, str) else "any"


def _tool(
    name: str, description: str, properties: dict[str, Any], required: Sequence[str]
) -> ToolSpec:
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    return ToolSpec(name, description, parameters)


def _property(kind: str, description: str) -> dict[str, Any]:
    return {"type": kind, "description": description}


def _texts(description: str) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "string"}, "description": description}


_EXAMPLES: tuple[tuple[ToolSpec, str, dict[str, Any]], ...] = (
    (
        _tool(
            "get_forecast",
            "Get the weather forecast for a city.",
            {
                "city": _property("string", "Name of the city."),
                "days": _property("integer", "Number of days to forecast."),
                "unit": {
                    "type": "string",
                    "enum": ["celsius", "fahrenheit"],
                    "description": "Temperature unit.",
                },
            },
            ["city", "days"],
        ),
        "What will the weather be like in Lisbon, Portugal over the next 3 days?",
        {"city": "Lisbon, Portugal", "days": 3},
    ),
    (
        _tool(
            "loan_payment",
            "Compute the monthly payment of a loan.",
            {
                "principal": _property("number", "The loan amount in dollars."),
                "annual_rate": _property("number", "Annual interest rate as a fraction."),
                "years": _property("integer", "Term in years."),
                "extra": _property("boolean", "Whether extra payments are made."),
            },
            ["principal", "annual_rate", "years"],
        ),
        "I am borrowing $25000 at an interest rate of 4.5% for 10 years. "
        "How much will I pay every month?",
        {"principal": 25000, "annual_rate": 0.045, "years": 10},
    ),
    (
        _tool(
            "library_search",
            "Search books in the library catalogue.",
            {
                "author": _property("string", "Author of the book."),
                "genres": _texts("Genres to include."),
                "after_year": _property("integer", "Only books published after this year."),
                "available": _property("boolean", "Only show books that can be borrowed now."),
            },
            ["author", "genres", "available"],
        ),
        "Find me science fiction and mystery books by Ursula Le Guin that I can borrow right now.",
        {"author": "Ursula Le Guin", "genres": ["science fiction", "mystery"], "available": True},
    ),
    (
        _tool(
            "convert_currency",
            "Convert an amount between currencies.",
            {
                "amount": _property("number", "Amount to convert."),
                "from_currency": _property("string", "Currency to convert from."),
                "to_currency": _property("string", "Currency to convert to."),
            },
            ["amount", "from_currency", "to_currency"],
        ),
        "How many euros do I get for 120.5 Swiss francs?",
        {"amount": 120.5, "from_currency": "Swiss francs", "to_currency": "euros"},
    ),
    (
        _tool(
            "add_event",
            "Add an event to the calendar.",
            {
                "title": _property("string", "Title of the event."),
                "date": _property("string", "Date in YYYY-MM-DD format."),
                "attendees": _texts("People to invite."),
                "duration": _property("integer", "Duration in minutes."),
            },
            ["title", "date", "attendees"],
        ),
        "Put a budget review with Maria and Chen on March 3rd, 2021 for 45 minutes.",
        {
            "title": "budget review",
            "date": "2021-03-03",
            "attendees": ["Maria", "Chen"],
            "duration": 45,
        },
    ),
)
