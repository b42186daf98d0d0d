from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk as SDKChunk
from openai.types.chat.chat_completion import ChoiceLogprobs as SDKLogprobs
from pydantic import TypeAdapter

from localassist.core import TokenLogprob
from localassist.errors import InvalidRequest, UnsupportedParameter
from localassist.schemas.chat import (
    ChatCompletionChunk,
    ChatCompletionCreate,
    ChatDelta,
    ChoiceLogprobs,
    ChunkChoice,
    FunctionFragment,
    ToolCallFragment,
)
from localassist.schemas.errors import parse_body


def parse(**fields: Any) -> ChatCompletionCreate:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    return parse_body(ChatCompletionCreate, json.dumps(body).encode())


FUNCTION = {"type": "function", "function": {"name": "f"}}


def called(call_id: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
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
        (
            {"messages": [{"role": "assistant", "function_call": {"name": "f"}}]},
            "messages[0].function_call",
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
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "integer_above_max_value"),
        ({"logprobs": True, "top_logprobs": -1}, "top_logprobs", "integer_below_min_value"),
        ({"logprobs": 1}, "logprobs", "invalid_type"),
    ],
)
def test_refusals(fields: dict[str, Any], param: str, code: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(**fields)
    assert caught.value.param == param
    assert caught.value.code == (code or "missing_required_parameter")


ASKED = {"role": "assistant", "content": None, "tool_calls": [called("call_a"), called("call_b")]}
USER = {"role": "user", "content": "hi"}
NO_RESPONSE = (
    "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
    "'tool_call_id'. The following tool_call_ids did not have response messages: "
)
NO_CALLS = (
    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
    "'tool_calls'."
)


def output(call_id: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": "x"}


@pytest.mark.parametrize(
    ("messages", "message", "param"),
    [
        ([USER, ASKED], NO_RESPONSE + "call_a, call_b", "messages[1].tool_calls"),
        ([ASKED, output("call_b")], NO_RESPONSE + "call_a", "messages[0].tool_calls"),
        (
            [ASKED, output("call_a"), USER, output("call_b")],
            NO_RESPONSE + "call_b",
            "messages[0].tool_calls",
        ),
        ([ASKED, ASKED], NO_RESPONSE + "call_a, call_b", "messages[0].tool_calls"),
        ([output("call_a")], NO_CALLS, "messages[0].role"),
        ([USER, output("call_a")], NO_CALLS, "messages[1].role"),
        (
            [ASKED, output("call_a"), output("call_b"), USER, output("call_a")],
            NO_CALLS,
            "messages[4].role",
        ),
        (
            [ASKED, output("call_a"), output("call_c")],
            "Invalid parameter: 'tool_call_id' of 'call_c' not found in 'tool_calls' of previous "
            "message.",
            "messages[2].tool_call_id",
        ),
        (
            [ASKED, output("call_a"), output("call_a")],
            "Invalid parameter: 'tool_call_id' of 'call_a' has been answered already.",
            "messages[2].tool_call_id",
        ),
    ],
)
def test_outputs_answer_the_calls_before_them(
    messages: list[Any], message: str, param: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(messages=messages)
    error = caught.value
    assert (error.message, error.param, error.code) == (message, param, None)


def test_outputs_may_come_in_any_order_and_round_after_round() -> None:
    both = [output("call_b"), output("call_a")]
    parse(messages=[USER, ASKED, *both, ASKED, *both, USER])
    # Two calls of one id are told apart by nothing, so each needs an output.
    twins = {"role": "assistant", "tool_calls": [called("c"), called("c")]}
    parse(messages=[twins, output("c"), output("c")])
    with pytest.raises(InvalidRequest, match="did not have response messages: c$"):
        parse(messages=[twins, output("c")])


@pytest.mark.parametrize(
    ("fields", "param", "condition"),
    [
        ({"tool_choice": "none"}, "tool_choice", "'tools' are specified"),
        ({"tool_choice": "required", "tools": []}, "tool_choice", "'tools' are specified"),
        ({"parallel_tool_calls": True}, "parallel_tool_calls", "'tools' are specified"),
        ({"top_logprobs": 3}, "top_logprobs", "'logprobs' is true"),
        ({"top_logprobs": 3, "logprobs": False}, "top_logprobs", "'logprobs' is true"),
    ],
)
def test_fields_that_need_another(fields: dict[str, Any], param: str, condition: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(**fields)
    error = caught.value
    expected = f"Invalid value for '{param}': '{param}' is only allowed when {condition}."
    assert (error.message, error.param, error.code) == (expected, param, None)


@given(data=st.binary(max_size=8), logprob=st.floats(max_value=0.0))
def test_log_probabilities_on_the_wire(data: bytes, logprob: float) -> None:
    other = TokenLogprob(2, b"\xe2\x80", -3.5)
    made = ChoiceLogprobs.of([TokenLogprob(1, data, logprob, (other,))]).dump()
    TypeAdapter(SDKLogprobs).validate_python(made, strict=True)
    [entry] = made["content"]
    assert bytes(entry["bytes"]) == data
    assert entry["logprob"] == max(logprob, -9999.0)
    assert entry["top_logprobs"] == [
        {"token": "\\xe2\\x80", "logprob": -3.5, "bytes": [0xE2, 0x80]}
    ]
    assert made["refusal"] is None


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
        {"role": "assistant", "content": "", "tool_calls": [called("c")]},
        {"role": "tool", "tool_call_id": "c", "content": parts},
        {"role": "function", "name": "f", "content": None},
    ]
    read = parse(messages=messages).messages
    assert [message.text for message in read] == ["a\nb", "a\nb", "no", "never", "", "a\nb", ""]


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
