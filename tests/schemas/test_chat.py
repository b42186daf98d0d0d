from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletionChunk as SDKChunk
from pydantic import TypeAdapter

from localassist.errors import InvalidRequest, UnsupportedParameter
from localassist.schemas.chat import (
    ChatCompletionChunk,
    ChatCompletionCreate,
    ChatDelta,
    ChunkChoice,
    FunctionFragment,
    ToolCallFragment,
)
from localassist.schemas.errors import parse_body


def parse(**fields: Any) -> ChatCompletionCreate:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    return parse_body(ChatCompletionCreate, json.dumps(body).encode())


FUNCTION = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"audio": {"voice": "x"}}, "audio"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"prediction": {"type": "content", "content": "x"}}, "prediction"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"function_call": {"name": "f"}}, "function_call"),
        ({"tools": [FUNCTION, {"type": "custom", "custom": {"name": "c"}}]}, "tools[1]"),
        ({"tool_choice": {"type": "custom", "custom": {"name": "c"}}}, "tool_choice"),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]},
            "messages[0].content[0]",
        ),
    ],
)
def test_unserved(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        parse(**fields)
    assert caught.value.param == param
    assert param in caught.value.message


def test_trivial_values_of_unserved_fields_pass() -> None:
    parse(n=1, logprobs=False, top_logprobs=0, audio=None, modalities=["text"], functions=[])


def test_ignored_fields_pass() -> None:
    parse(store=True, user="u", service_tier="auto", verbosity="low", reasoning_effort="high")


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"messages": []}, "messages", "empty_array"),
        ({"stop": ["a"] * 5}, "stop", "array_above_max_length"),
        ({"presence_penalty": 2.5}, "presence_penalty", "decimal_above_max_value"),
        ({"max_tokens": 0}, "max_tokens", "integer_below_min_value"),
        ({"logit_bias": {"a": 1}}, "logit_bias", "invalid_value"),
        ({"logit_bias": {"1": 101}}, "logit_bias.1", "decimal_above_max_value"),
        ({"tools": [FUNCTION, FUNCTION]}, "tools[1].function.name", "invalid_value"),
        ({"messages": [{"role": "assistant"}]}, "messages[0].content", "invalid_type"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id", None),
        ({"messages": [{"content": "x"}]}, "messages[0].role", None),
        ({"response_format": {"type": "xml"}}, "response_format.type", "invalid_value"),
    ],
)
def test_refusals(fields: dict[str, Any], param: str, code: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(**fields)
    assert caught.value.param == param
    assert caught.value.code == (code or "missing_required_parameter")


def test_reading_aids() -> None:
    body = parse(stop="end", max_tokens=5, stream_options={"include_usage": True})
    assert (body.stop_texts, body.token_limit, body.includes_usage) == (("end",), 5, True)
    body = parse(stop=["a", "b"], max_tokens=5, max_completion_tokens=7, tools=[FUNCTION])
    assert (body.stop_texts, body.token_limit, body.includes_usage) == (("a", "b"), 7, False)
    assert [tool.function.name for tool in body.function_tools] == ["f"]
    assert (parse().stop_texts, parse().token_limit, parse().function_tools) == ((), None, [])


def test_text_of_messages() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    image = {"type": "image_url", "image_url": {"url": "data:"}}
    messages = [
        {"role": "developer", "content": parts},
        {"role": "user", "content": [*parts, image]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        {"role": "assistant", "content": None, "refusal": "never"},
        {"role": "tool", "tool_call_id": "c", "content": ""},
        {"role": "function", "name": "f", "content": None},
    ]
    read = parse(messages=messages).messages
    assert [message.text for message in read] == ["a\nb", "a\nb", "no", "never", "", ""]


def chunk(delta: ChatDelta, **fields: Any) -> dict[str, Any]:
    made = ChatCompletionChunk(
        id="chatcmpl-1", created=1, model="m", choices=[ChunkChoice(delta=delta)], **fields
    ).dump()
    TypeAdapter(SDKChunk).validate_python(made, strict=True)
    return made


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        (ChatDelta(), {}),
        (ChatDelta(role="assistant", content=""), {"role": "assistant", "content": ""}),
        (ChatDelta(content="x"), {"content": "x"}),
        (
            ChatDelta(
                tool_calls=[
                    ToolCallFragment(
                        index=0,
                        id="call_1",
                        type="function",
                        function=FunctionFragment(name="f", arguments=""),
                    )
                ]
            ),
            {
                "tool_calls": [
                    {
                        "index": 0,
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "f", "arguments": ""},
                    }
                ]
            },
        ),
        (
            ChatDelta(
                tool_calls=[ToolCallFragment(index=0, function=FunctionFragment(arguments="{"))]
            ),
            {"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]},
        ),
    ],
)
def test_deltas_hold_only_what_is_new(delta: ChatDelta, expected: dict[str, Any]) -> None:
    [choice] = chunk(delta)["choices"]
    assert choice == {"index": 0, "delta": expected, "finish_reason": None, "logprobs": None}


def test_usage_is_absent_or_null_as_asked() -> None:
    assert "usage" not in chunk(ChatDelta())
    assert chunk(ChatDelta(), usage=None)["usage"] is None
