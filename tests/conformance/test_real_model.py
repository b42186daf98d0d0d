"""The same client with the embedded model behind it: facts that hold whatever it says."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from tests.conformance.conftest import WEATHER, begin
from tests.conformance.test_streams import PLAIN, Recorder
from tests.conformance.wire import short

pytestmark = [
    pytest.mark.model,
    pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning"),
]
HI: Any = [{"role": "user", "content": "Name three planets."}]


def test_a_streamed_run_is_what_polling_sees(real_client: openai.OpenAI) -> None:
    talk = begin(real_client, "Name three planets.", instructions="Be brief.", temperature=0)
    threads = real_client.beta.threads
    handler = Recorder()
    with threads.runs.stream(
        **talk.ids, max_completion_tokens=256, event_handler=handler
    ) as stream:
        run = stream.get_final_run()
    assert run.status == "completed" and short(handler.events) == PLAIN
    assert handler.events.count("thread.message.delta") > 3
    assert threads.runs.retrieve(run.id, thread_id=talk.thread_id) == run
    assert threads.messages.list(talk.thread_id).data[0] == handler.message
    assert run.usage is not None and run.usage.completion_tokens > 3


def test_a_function_is_called_with_valid_arguments(real_client: openai.OpenAI) -> None:
    talk = begin(real_client, "What's the weather in Paris?", tools=[WEATHER])
    runs = real_client.beta.threads.runs
    run = runs.create_and_poll(**talk.ids)
    assert run.status == "requires_action" and run.required_action is not None
    (asked,) = run.required_action.submit_tool_outputs.tool_calls
    assert asked.function.name == "get_weather"
    assert set(json.loads(asked.function.arguments)) == {"city"}
    done = runs.submit_tool_outputs_and_poll(
        run_id=run.id,
        thread_id=talk.thread_id,
        tool_outputs=[{"tool_call_id": asked.id, "output": "light rain, 12 degrees"}],
    )
    assert done.status == "completed" and talk.texts()[-1]


def test_greedy_answers_are_the_same_streamed_or_not(real_client: openai.OpenAI) -> None:
    options: Any = {"model": "gpt-4o", "messages": HI, "temperature": 0, "max_tokens": 24}
    # From here on the prompt is cached. Processed in passes of another shape it rounds differently.
    real_client.chat.completions.create(**options)
    whole = real_client.chat.completions.create(**options).choices[0].message.content
    chunks = real_client.chat.completions.create(**options, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole != ""


def test_embeddings_of_the_real_model(real_client: openai.OpenAI) -> None:
    texts = ["A cat sleeps.", "A kitten naps.", "The bond market fell."]
    result = real_client.embeddings.create(model="text-embedding-3-small", input=texts)
    cat, kitten, bonds = (item.embedding for item in result.data)
    assert len(cat) == 384 and _dot(cat, cat) == pytest.approx(1, abs=1e-3)
    assert _dot(cat, kitten) > _dot(cat, bonds) + 0.2


def _dot(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
