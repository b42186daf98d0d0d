"""Tools, answer formats and log-probabilities of chat completions, by the official client."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

import openai
import pytest
from openai.types.chat import ChatCompletionChunk
from pydantic import BaseModel

from localassist.engine import ScriptedEngine
from tests.conformance.conftest import ANSWER, WEATHER
from tests.conformance.serving import call
from tests.grammars import accepts

UseEngine = Callable[..., ScriptedEngine]
HI: Any = [{"role": "user", "content": "Hi"}]
TIME: Any = {"type": "function", "function": {"name": "get_time"}}
TOOLS: Any = [WEATHER, TIME]
TIME_CALL = '<tool_call>\n{"name": "get_time", "arguments": {}}\n</tool_call>'
FORCED_WEATHER: Any = {"type": "function", "function": {"name": "get_weather"}}


class City(BaseModel):
    """Look a city up"""

    name: str
    size: Literal["small", "large"]


def ask(client: openai.OpenAI, **fields: Any) -> Any:
    fields = {"model": "gpt-4o", "messages": HI, **fields}
    return client.chat.completions.create(**fields)


def chunks_of(client: openai.OpenAI, **fields: Any) -> list[ChatCompletionChunk]:
    return list(ask(client, stream=True, **fields))


def deltas_of(chunks: list[ChatCompletionChunk]) -> list[dict[str, Any]]:
    return [chunk.choices[0].delta.model_dump(exclude_unset=True) for chunk in chunks]


@pytest.mark.parametrize("piece_tokens", [1, 5, 500])
def test_two_calls_as_deltas(
    client: openai.OpenAI, use_engine: UseEngine, piece_tokens: int
) -> None:
    use_engine("I look.\n" + call("Paris") + "\n" + TIME_CALL, piece_tokens=piece_tokens)
    chunks = chunks_of(client, tools=TOOLS, stream_options={"include_usage": True})
    usage = chunks.pop().usage
    assert usage is not None and usage.completion_tokens > 100
    first, *deltas, last = deltas_of(chunks)
    assert (first, last) == ({"role": "assistant", "content": ""}, {})
    assert [c.choices[0].finish_reason for c in chunks] == [None] * (len(chunks) - 1) + [
        "tool_calls"
    ]
    assert "".join(delta.pop("content", "") for delta in deltas) == "I look."
    begun: list[dict[str, Any]] = []
    for delta in filter(None, deltas):
        (fragment,) = delta["tool_calls"]
        if "id" in fragment:
            assert fragment["type"] == "function" and fragment["function"]["arguments"] == ""
            assert fragment["index"] == len(begun) and fragment["id"].startswith("call_")
            begun.append(fragment)
        else:
            assert set(fragment) == {"index", "function"} and set(fragment["function"]) == {
                "arguments"
            }
            begun[fragment["index"]]["function"]["arguments"] += fragment["function"]["arguments"]
    made = [(c["function"]["name"], json.loads(c["function"]["arguments"])) for c in begun]
    assert made == [("get_weather", {"city": "Paris"}), ("get_time", {})]
    assert len({c["id"] for c in begun}) == 2


def test_two_calls_in_one_answer_and_the_second_half(
    client: openai.OpenAI, use_engine: UseEngine
) -> None:
    engine = use_engine(call("Paris") + "\n" + TIME_CALL, "Rain, at noon.")
    first = ask(client, tools=TOOLS).choices[0]
    assert (first.message.content, first.finish_reason) == (None, "tool_calls")
    weather, time = first.message.tool_calls
    assert [weather.function.name, time.function.name] == ["get_weather", "get_time"]
    parts = [{"type": "text", "text": "ra"}, {"type": "text", "text": "in"}]
    outputs = [
        {"role": "tool", "tool_call_id": time.id, "content": "12:00"},
        {"role": "tool", "tool_call_id": weather.id, "content": parts},
    ]
    # The message goes back as it came, with the fields that were not asked for.
    messages = [*HI, first.message, *outputs]
    second = ask(client, messages=messages, tools=TOOLS).choices[0]
    assert (second.message.content, second.finish_reason) == ("Rain, at noon.", "stop")
    prompt = engine.detokenize(engine.requests[-1].prompt)
    assert prompt.index("get_weather") < prompt.index("12:00") < prompt.index("ra\nin")


@pytest.mark.parametrize("choice", ["required", FORCED_WEATHER])
@pytest.mark.parametrize("parallel", [True, False])
def test_demanded_calls_reach_the_grammar(
    client: openai.OpenAI, use_engine: UseEngine, choice: Any, parallel: bool
) -> None:
    engine = use_engine(call("Paris"))
    answer = ask(client, tools=TOOLS, tool_choice=choice, parallel_tool_calls=parallel)
    assert answer.choices[0].finish_reason == "tool_calls"
    constraint = engine.requests[-1].constraint
    assert accepts(constraint, call("Paris")) and not accepts(constraint, ANSWER)
    assert accepts(constraint, TIME_CALL) == (choice == "required")
    assert accepts(constraint, call("Paris") + "\n" + call("Rome")) == parallel


def test_none_and_allowed_tools(client: openai.OpenAI, use_engine: UseEngine) -> None:
    engine = use_engine(default_reply=ANSWER)
    assert ask(client, tools=TOOLS, tool_choice="none").choices[0].message.content == ANSWER
    assert "get_weather" not in engine.detokenize(engine.requests[-1].prompt)
    engine.enqueue(TIME_CALL)
    wanted = {"type": "function", "function": {"name": "get_time"}}
    allowed = {"mode": "required", "tools": [wanted]}
    answer = ask(
        client, tools=TOOLS, tool_choice={"type": "allowed_tools", "allowed_tools": allowed}
    )
    assert [c.function.name for c in answer.choices[0].message.tool_calls] == ["get_time"]
    constraint = engine.requests[-1].constraint
    assert constraint is not None and "get_weather" not in constraint.grammar


def test_a_call_that_the_token_limit_cuts(client: openai.OpenAI, use_engine: UseEngine) -> None:
    engine = use_engine()
    reply = call("Paris")
    in_arguments = reply.index("ris")
    for limit, arguments in ((in_arguments, ['{"city": "Pa']), (12, []), (5, [])):
        fields = {"tools": TOOLS, "tool_choice": "required", "max_tokens": limit}
        engine.enqueue(reply, reply)
        (choice,) = ask(client, **fields).choices
        assert choice.finish_reason == "length" and not choice.message.content
        assert [c.function.arguments for c in choice.message.tool_calls or []] == arguments
        chunks = chunks_of(client, **fields)
        assert chunks[-1].choices[0].finish_reason == "length"
        assert "".join(delta.get("content") or "" for delta in deltas_of(chunks)) == ""
    engine.enqueue(reply)
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(
            model="gpt-4o",
            messages=HI,
            tools=[openai.pydantic_function_tool(City)],
            max_tokens=in_arguments,
        )


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("reply", "stop", "text", "calls"),
    [
        ("One. Two.", ["Two"], "One. ", 0),
        (call("Paris"), ["\n", "{", "Paris", "<"], "", 1),
        ("See: a, b." + call("Paris"), [", b"], "See: a", 0),
        ("See." + call("Paris"), ["<tool", "}"], "See.", 1),
        ("See. It is fine", ["fine day"], "See. It is fine", 0),
    ],
)
def test_stop_strings_end_text_and_never_a_call(
    client: openai.OpenAI,
    use_engine: UseEngine,
    reply: str,
    stop: list[str],
    text: str,
    calls: int,
    stream: bool,
) -> None:
    engine = use_engine(reply)
    if stream:
        with client.chat.completions.stream(
            model="gpt-4o", messages=HI, tools=TOOLS, stop=stop
        ) as events:
            (choice,) = events.get_final_completion().choices
    else:
        (choice,) = ask(client, tools=TOOLS, stop=stop).choices
    assert (choice.message.content or "") == text
    made = [json.loads(c.function.arguments) for c in choice.message.tool_calls or []]
    assert made == [{"city": "Paris"}] * calls
    assert choice.finish_reason == ("tool_calls" if calls else "stop")
    assert engine.counters.running == 0


def test_an_answer_or_a_call_beside_a_format(client: openai.OpenAI, use_engine: UseEngine) -> None:
    engine = use_engine('{"name": "Rome", "size": "large"}', call("Rome"), '{"a": 1}')
    tools = [openai.pydantic_function_tool(City, name="get_city")]
    completion = client.chat.completions.parse(
        model="gpt-4o", messages=HI, tools=tools, response_format=City
    )
    (choice,) = completion.choices
    assert choice.message.parsed == City(name="Rome", size="large")
    assert choice.finish_reason == "stop" and not choice.message.tool_calls
    weather = ask(client, tools=TOOLS, response_format={"type": "json_object"}).choices[0]
    assert weather.finish_reason == "tool_calls"
    # A local grammar needs no mention of JSON in the messages.
    plain = ask(client, response_format={"type": "json_object"}).choices[0]
    assert json.loads(plain.message.content) == {"a": 1}
    text = ask(client, response_format={"type": "text"}).choices[0]
    assert text.message.content == ANSWER
    grammars = [r.constraint.grammar if r.constraint else "" for r in engine.requests]
    assert ['"size"' in g for g in grammars] == [True, False, False, False]
    assert ["%json" in g for g in grammars] == [True, True, True, False]


def test_a_model_of_pydantic_as_a_tool(client: openai.OpenAI, use_engine: UseEngine) -> None:
    arguments = '{"name": "Rome", "size": "large"}'
    reply = '<tool_call>\n{"name": "City", "arguments": ' + arguments + "}\n</tool_call>"
    use_engine(reply, reply, default_reply="Large.")
    tools = [openai.pydantic_function_tool(City)]
    completion = client.chat.completions.parse(model="gpt-4o", messages=HI, tools=tools)
    message = completion.choices[0].message
    (made,) = message.tool_calls or []
    assert made.function.parsed_arguments == City(name="Rome", size="large")
    with client.chat.completions.stream(model="gpt-4o", messages=HI, tools=tools) as stream:
        kinds = {event.type for event in stream}
        streamed = stream.get_final_completion().choices[0].message
    (again,) = streamed.tool_calls or []
    assert again.function.parsed_arguments == made.function.parsed_arguments
    assert {"tool_calls.function.arguments.delta", "tool_calls.function.arguments.done"} <= kinds
    # Both go back as they are, with what the client has parsed.
    for said, call_id in ((message, made.id), (streamed, again.id)):
        output = {"role": "tool", "tool_call_id": call_id, "content": "3 million"}
        answer = ask(client, messages=[*HI, said, output], tools=tools)
        assert answer.choices[0].message.content == "Large."


def test_a_seed_reaches_the_engine(client: openai.OpenAI, engine: ScriptedEngine) -> None:
    ask(client, seed=7, tools=TOOLS)
    assert engine.requests[-1].sampling.seed == 7
    assert engine.requests[-1].sampling.top_logprobs is None


def likely(prompt: str, text: str) -> float:
    """Lower-case letters are likelier than all else, early ones most."""
    return -0.1 * (ord(text[0]) - ord("a") + 1) if text.islower() and text.isascii() else -30.0


@pytest.mark.parametrize("tools", [None, TOOLS])
@pytest.mark.parametrize("stop", [None, ["never", ", b"]])
def test_log_probabilities(
    client: openai.OpenAI, use_engine: UseEngine, tools: Any, stop: Any
) -> None:
    use_engine("äb c, d", "äb c, d", scorer=likely, piece_tokens=3)
    fields: dict[str, Any] = {"logprobs": True, "top_logprobs": 2, "stop": stop}
    if tools:
        fields["tools"] = tools
    (choice,) = ask(client, **fields).choices
    entries = choice.logprobs.content
    assert choice.logprobs.refusal is None
    assert bytes(b for entry in entries for b in entry.bytes).decode() == "äb c, d"
    assert [(e.token, e.logprob) for e in entries[1:3]] == [("b", pytest.approx(-0.2)), (" ", -30)]
    assert [[(o.token, o.bytes) for o in e.top_logprobs] for e in entries] == [
        [("a", [97]), ("b", [98])]
    ] * len(entries)
    chunks = chunks_of(client, **fields)
    streamed = [
        e for c in chunks if c.choices[0].logprobs for e in c.choices[0].logprobs.content or []
    ]
    assert streamed == entries
    for chunk in chunks:
        told = chunk.choices[0].logprobs
        said = (chunk.choices[0].delta.content or "").encode()
        assert bool(said) == (told is not None)
        if told is not None:
            assert bytes(b for e in told.content or [] for b in e.bytes) == said


def test_log_probabilities_of_the_streaming_helper(
    client: openai.OpenAI, use_engine: UseEngine
) -> None:
    use_engine("abc", scorer=likely)
    with client.chat.completions.stream(model="gpt-4o", messages=HI, logprobs=True) as stream:
        (choice,) = stream.get_final_completion().choices
    assert choice.logprobs is not None and choice.logprobs.content is not None
    assert [(e.token, e.top_logprobs) for e in choice.logprobs.content] == [
        ("a", []),
        ("b", []),
        ("c", []),
    ]


def test_log_probabilities_are_of_text_only(client: openai.OpenAI, use_engine: UseEngine) -> None:
    use_engine(call("Paris"), "I look.\n" + call("Paris"), "fine", scorer=likely)
    assert ask(client, tools=TOOLS, logprobs=True).choices[0].logprobs is None
    both = ask(client, tools=TOOLS, logprobs=True).choices[0]
    assert both.message.tool_calls and both.message.content == "I look."
    assert "".join(entry.token for entry in both.logprobs.content) == "I look."
    assert ask(client).choices[0].logprobs is None
