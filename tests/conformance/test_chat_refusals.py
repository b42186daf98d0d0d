"""What chat completions refuse about tools, formats and messages: at once, by name, in one form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest

from localassist.engine import ScriptedEngine
from tests.conformance.conftest import WEATHER

HI: Any = [{"role": "user", "content": "Hi"}]
CHOSEN = {"type": "function", "function": {"name": "nope"}}
NAME = "tools[0].function.name"
PARAMETERS = "tools[0].function.parameters"
PATTERN = "string does not match pattern. Expected a string that matches the pattern "


def function(name: str = "f", **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **fields}}


def taking(schema: Any) -> dict[str, Any]:
    """A request with a function whose argument ``x`` has this schema."""
    return {"tools": [function(parameters={"type": "object", "properties": {"x": schema}})]}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


def answering(**definition: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": definition}}


# Each of 20 parts may be satisfied in 6 ways.
EXPONENTIAL = {
    "allOf": [{"anyOf": [{"required": [f"p{i}_{k}"]} for k in range(6)]} for i in range(20)]
}
REFUSALS: dict[str, tuple[dict[str, Any], str, str | None, str | None]] = {
    "bad schema": (
        {"tools": [WEATHER, *taking({"type": "str"})["tools"]]},
        "Invalid schema for function 'f': In 'properties.x.type': ",
        "tools[1].function.parameters",
        "invalid_function_parameters",
    ),
    "bad schema of a tool that may not be called": (
        {**taking({"type": "str"}), "tool_choice": "none"},
        "Invalid schema for function 'f': In 'properties.x.type': ",
        PARAMETERS,
        "invalid_function_parameters",
    ),
    "remote reference": (
        taking({"$ref": "https://example.com/schema"}),
        "Invalid schema for function 'f': In 'properties.x.$ref': ",
        PARAMETERS,
        "invalid_function_parameters",
    ),
    "missing reference": (
        taking({"$ref": "#/$defs/missing"}),
        "Invalid schema for function 'f': In 'properties.x.$ref': ",
        PARAMETERS,
        "invalid_function_parameters",
    ),
    "look-ahead": (
        taking({"type": "string", "pattern": "(?=a)b"}),
        "Invalid schema for function 'f': In 'properties.x.pattern': ",
        PARAMETERS,
        "invalid_function_parameters",
    ),
    "deep schema": (
        taking(nested(70)),
        "Invalid schema for function 'f': ",
        PARAMETERS,
        "invalid_function_parameters",
    ),
    "exponential schema": (
        taking(EXPONENTIAL),
        "Invalid schema for function 'f': ",
        PARAMETERS,
        "invalid_function_parameters",
    ),
    "parameters as an array": (
        {"tools": [function(parameters=[])]},
        f"Invalid type for '{PARAMETERS}': expected an object, but got an array instead.",
        PARAMETERS,
        "invalid_type",
    ),
    "parameters of another type": (
        {"tools": [function(parameters={"type": "array"})]},
        "Invalid schema for function 'f': schema must be a JSON Schema of 'type: \"object\"', got "
        "'type: \"array\"'.",
        PARAMETERS,
        "invalid_function_parameters",
    ),
    "dot in a name": (
        {"tools": [function("a.b")]},
        f"Invalid '{NAME}': {PATTERN}'^[a-zA-Z0-9_-]+$'.",
        NAME,
        "invalid_value",
    ),
    "letter beyond ASCII in a name": (
        {"tools": [function("wétter")]},
        f"Invalid '{NAME}': {PATTERN}'^[a-zA-Z0-9_-]+$'.",
        NAME,
        "invalid_value",
    ),
    "line break in a name": (
        {"tools": [function("name\n")]},
        f"Invalid '{NAME}': {PATTERN}'^[a-zA-Z0-9_-]+$'.",
        NAME,
        "invalid_value",
    ),
    "long name": (
        {"tools": [function("a" * 65)]},
        f"Invalid '{NAME}': string too long. Expected a string with maximum length 64, "
        "but got a string with length 65 instead.",
        NAME,
        "string_above_max_length",
    ),
    "one name twice": (
        {"tools": [WEATHER, WEATHER]},
        "Invalid 'tools[1].function.name': duplicate function name 'get_weather'. ",
        "tools[1].function.name",
        "invalid_value",
    ),
    "129 tools": (
        {"tools": [function(f"f{i}") for i in range(129)]},
        "Invalid 'tools': array too long. Expected an array with maximum length 128, "
        "but got an array with length 129 instead.",
        "tools",
        "array_above_max_length",
    ),
    "unknown choice": (
        {"tools": [WEATHER], "tool_choice": CHOSEN},
        "Invalid 'tool_choice': no function named 'nope' is among the tools.",
        "tool_choice",
        "invalid_value",
    ),
    "unknown allowed tool": (
        {
            "tools": [WEATHER],
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [CHOSEN]},
            },
        },
        "Invalid 'tool_choice': no function named 'nope' is among the tools.",
        "tool_choice",
        "invalid_value",
    ),
    "choice without tools": (
        {"tool_choice": "auto"},
        "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are "
        "specified.",
        "tool_choice",
        None,
    ),
    "parallel calls without tools": (
        {"parallel_tool_calls": False},
        "Invalid value for 'parallel_tool_calls': 'parallel_tool_calls' is only allowed when "
        "'tools' are specified.",
        "parallel_tool_calls",
        None,
    ),
    "legacy functions": (
        {"functions": [{"name": "f"}]},
        "Unsupported parameter: 'functions'. Use 'tools' and 'tool_choice' instead.",
        "functions",
        "unsupported_parameter",
    ),
    "several answers": (
        {"tools": [WEATHER], "n": 2},
        "Unsupported value: 'n' must be 1.",
        "n",
        "unsupported_parameter",
    ),
    "format without a name": (
        answering(schema={}),
        "Missing required parameter: 'response_format.json_schema.name'.",
        "response_format.json_schema.name",
        "missing_required_parameter",
    ),
    "format with a bad name": (
        answering(name="an answer", schema={}),
        f"Invalid 'response_format.json_schema.name': {PATTERN}'^[a-zA-Z0-9_-]+$'.",
        "response_format.json_schema.name",
        "invalid_value",
    ),
    "format without a schema": (
        answering(name="n"),
        "Missing required parameter: 'response_format.json_schema.schema'.",
        "response_format.json_schema.schema",
        "missing_required_parameter",
    ),
    "format with a bad schema": (
        answering(name="n", schema={"properties": {"x": {"minimum": "low"}}}),
        "Invalid schema for response_format 'n': In 'properties.x.minimum': ",
        "response_format.json_schema.schema",
        "invalid_json_schema",
    ),
    "output without a call": (
        {"messages": [*HI, {"role": "tool", "tool_call_id": "call_1", "content": "x"}]},
        "Invalid parameter: messages with role 'tool' must be a response to a preceeding message "
        "with 'tool_calls'.",
        "messages[1].role",
        None,
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_bad_requests(client: openai.OpenAI, engine: ScriptedEngine, case: str) -> None:
    fields, message, param, code = REFUSALS[case]
    body = {"model": "gpt-4o", "messages": HI, **fields}
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/chat/completions", cast_to=object, body=body)
    error = caught.value
    assert isinstance(error.body, dict) and error.body["message"].startswith(message)
    assert (error.param, error.code, error.type) == (param, code, "invalid_request_error")
    assert engine.requests == []


@pytest.mark.parametrize("case", ["bad schema", "unknown choice", "129 tools"])
def test_a_stream_does_not_begin_with_a_bad_request(
    client: openai.OpenAI, engine: ScriptedEngine, case: str
) -> None:
    fields, message, param, code = REFUSALS[case]
    with pytest.raises(openai.APIError) as caught:
        body: Any = {"model": "gpt-4o", "messages": HI, **fields}
        list(client.chat.completions.create(**body, stream=True))
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["message"].startswith(message) and caught.value.param == param


def test_schemas_are_refused_though_many_tools_are_fine(
    client: openai.OpenAI, use_engine: Callable[..., ScriptedEngine]
) -> None:
    engine = use_engine(context_length=200_000)
    tools: Any = [
        function(f"f{i}", parameters=WEATHER["function"]["parameters"]) for i in range(128)
    ]
    create = client.chat.completions.create
    assert create(model="gpt-4o", messages=HI, tools=tools).choices[0].finish_reason == "stop"
    tools[127] = taking({"type": "str"})["tools"][0]
    with pytest.raises(openai.BadRequestError, match="function 'f'") as caught:
        create(model="gpt-4o", messages=HI, tools=tools)
    assert caught.value.param == "tools[127].function.parameters" and len(engine.requests) == 1
