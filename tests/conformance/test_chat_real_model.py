"""Tools, formats and log-probabilities of chat completions with the embedded model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import openai
import pytest
from pydantic import BaseModel

from localassist.core import ChatMessage
from localassist.runtime import open_runtime
from localassist.schemas.chat import ChatCompletionCreate
from localassist.settings import load_settings
from tests.conformance.conftest import WEATHER
from tests.conformance.test_chat_tools import TOOLS

pytestmark = pytest.mark.model
QUESTION = "What's the weather in Paris?"
NAMED: Any = {"type": "function", "function": {"name": "get_weather"}}
ASKED: Any = [{"role": "user", "content": QUESTION}]


class Review(BaseModel):
    mood: Literal["good", "bad"]
    stars: int


def test_a_demanded_call_and_its_answer(real_client: openai.OpenAI) -> None:
    create = real_client.chat.completions.create
    first = create(model="gpt-4o", messages=ASKED, tools=TOOLS, tool_choice="required").choices[0]
    assert (first.message.content, first.finish_reason) == (None, "tool_calls")
    assert first.message.tool_calls
    outputs: Any = []
    for made in first.message.tool_calls:
        assert made.type == "function"
        arguments = json.loads(made.function.arguments)
        assert made.function.name == "get_time" or set(arguments) == {"city"}
        outputs.append({"role": "tool", "tool_call_id": made.id, "content": "light rain, 12 C"})
    messages: Any = [*ASKED, first.message, *outputs]
    second = create(model="gpt-4o", messages=messages, tools=TOOLS).choices[0]
    assert second.finish_reason == "stop" and second.message.content


def test_a_call_in_a_stream(real_client: openai.OpenAI) -> None:
    tools: Any = [WEATHER]
    with real_client.chat.completions.stream(
        model="gpt-4o", messages=ASKED, tools=tools, tool_choice=NAMED, logprobs=True
    ) as stream:
        (choice,) = stream.get_final_completion().choices
    (made,) = choice.message.tool_calls or []
    assert set(json.loads(made.function.arguments)) == {"city"}
    assert choice.logprobs is None


def test_an_answer_of_a_pydantic_model(real_client: openai.OpenAI) -> None:
    completion = real_client.chat.completions.parse(
        model="gpt-4o",
        messages=[{"role": "user", "content": "Rate this as JSON: 'The soup was wonderful.'"}],
        response_format=Review,
        logprobs=True,
    )
    (choice,) = completion.choices
    assert choice.finish_reason == "stop" and isinstance(choice.message.parsed, Review)
    assert choice.logprobs is not None and choice.logprobs.content
    assert "".join(entry.token for entry in choice.logprobs.content) == choice.message.content


def test_log_probabilities_whole_and_streamed(real_client: openai.OpenAI) -> None:
    options: Any = {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "Write the word café and a smiling emoji."}],
        "temperature": 0,
        "max_tokens": 24,
        "logprobs": True,
        "top_logprobs": 3,
    }
    create = real_client.chat.completions.create
    create(**options)  # from here on the prompt is cached, and rounds the same
    (choice,) = create(**options).choices
    assert choice.logprobs is not None and choice.logprobs.content is not None
    entries = choice.logprobs.content
    data = bytes(byte for entry in entries for byte in entry.bytes or [])
    assert data.decode() == choice.message.content
    for entry in entries:
        best = [other.logprob for other in entry.top_logprobs]
        assert len(best) == 3 and best == sorted(best, reverse=True) and best[0] >= entry.logprob
    streamed = [
        entry
        for chunk in create(**options, stream=True)
        if chunk.choices[0].logprobs
        for entry in chunk.choices[0].logprobs.content or []
    ]
    assert [entry.token for entry in streamed] == [entry.token for entry in entries]


@pytest.mark.parametrize("form", [None, "json_schema"])
async def test_log_probabilities_are_the_engines_scores(tmp_path: Path, form: str | None) -> None:
    schema = {"name": "review", "schema": Review.model_json_schema()}
    body: dict[str, Any] = {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "Rate the soup, and say why you like it."}],
        "max_tokens": 40,
        "temperature": 0.8,
        "seed": 3,
        "frequency_penalty": 0.5,
        "logprobs": True,
    }
    if form is not None:
        body["response_format"] = {"type": form, "json_schema": schema}
    async with open_runtime(load_settings(tmp_path)) as runtime:
        request = ChatCompletionCreate.model_validate(body)
        completion = await runtime.chat.complete(runtime.default_project, request)
        (choice,) = completion.choices
        assert choice.logprobs is not None and choice.message.content
        entries = choice.logprobs.content
        async with runtime.models.chat("gpt-4o") as model:
            question = ChatMessage("user", body["messages"][0]["content"])
            prompt = model.prompts.build([question]).token_ids
            # The tokens of the answer, each found by its own text.
            found = [model.engine.tokenize(entry.token, parse_special=False) for entry in entries]
            tokens = [token for (token,) in found]
            [scores] = await model.engine.score(prompt, [tokens])
    assert len(tokens) > 5
    # One pass over many rows rounds otherwise than a pass for each: by up to 0.15 for a token.
    differences = [entry.logprob - score for entry, score in zip(entries, scores, strict=True)]
    assert abs(sum(differences)) / len(tokens) < 0.05
    assert max(map(abs, differences)) < 0.5
