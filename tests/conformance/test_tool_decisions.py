"""Why a function was called or not: in the steps of runs, and over ``/tools/explain``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from localassist.engine import ScriptedEngine
from localassist.schemas.tool_explanations import ToolsExplanation
from tests.conformance.conftest import WEATHER
from tests.conformance.serving import call, in_process, scripted_settings
from tests.server.serving import Stage

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")

POEM = "Write a poem about love"
RAIN = "Please get the weather in Paris."

ORPHAN = {"role": "tool", "tool_call_id": "call_a", "content": "rain"}
UNANSWERED = {
    "role": "assistant",
    "tool_calls": [
        {"id": "call_a", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    ],
}


def scorer(prompt: str, continuation: str) -> float:
    """Words of a tool make words of a question likely."""
    fits = "weather" in prompt.lower() and "weather" in continuation.lower()
    return -len(continuation) * (0.1 if fits else 1.0)


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.engine = ScriptedEngine(default_reply=_reply, scorer=scorer)
    return stage


def _reply(request: Any) -> str:
    return "Roses are red." if request.constraint is None else ' "Paris"}'


@pytest.fixture(params=["guided"])
def client(
    request: pytest.FixtureRequest, localassist_home: Path, stage: Stage
) -> Iterator[openai.OpenAI]:
    settings = scripted_settings(localassist_home)
    models = settings.models.model_copy(update={"tool_mode": {"scripted": request.param}})
    with in_process(settings.model_copy(update={"models": models}), stage) as client:
        yield client.with_options(max_retries=0)


def explained(client: openai.OpenAI, **body: Any) -> dict[str, Any]:
    request = {"model": "gpt-4o", "tools": [WEATHER], **body}
    answer: Any = client.post("/tools/explain", body=request, cast_to=object)
    assert ToolsExplanation.model_validate(answer).dump() == answer
    return dict(answer)


def step_of(client: openai.OpenAI, question: str) -> Any:
    """The one step of a run on this question."""
    assistant = client.beta.assistants.create(model="gpt-4o", tools=[WEATHER])
    thread = client.beta.threads.create(messages=[{"role": "user", "content": question}])
    run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)
    (step,) = client.beta.threads.runs.steps.list(run.id, thread_id=thread.id)
    return step


def test_an_answer_says_why_it_is_no_call(client: openai.OpenAI, stage: Stage) -> None:
    step = step_of(client, POEM)
    assert step.type == "message_creation" and step.status == "completed"
    assert json.loads(step.metadata["tool_scores"])["get_weather"] < 0
    assert step.usage.prompt_tokens > len(stage.engine.requests[-1].prompt)


def test_a_call_says_why_it_was_made(client: openai.OpenAI) -> None:
    step = step_of(client, RAIN)
    assert step.type == "tool_calls"
    assert json.loads(step.metadata["tool_scores"])["get_weather"] > 0
    assert list(json.loads(step.metadata["argument_evidence"])[0]) == ["city"]


def test_a_decision_is_explained(client: openai.OpenAI) -> None:
    found = explained(client, question=RAIN)
    assert (found["object"], found["mode"], found["verdict"]) == (
        "tools.explanation",
        "guided",
        "call",
    )
    assert found["model"] == "scripted" and found["question"] == RAIN
    (score,), (made,) = found["scores"], found["calls"]
    assert score["name"] == made["name"] == "get_weather" and score["decision"] > 0
    assert set(json.loads(made["arguments"])) == set(made["evidence"]) == {"city"}
    assert found["thresholds"] and 0 <= found["grounding"] <= 1
    assert found["usage"]["prompt_tokens"] > 0
    assert found["output"] is None


def test_a_decision_to_answer_is_explained_and_nothing_is_written(
    client: openai.OpenAI, stage: Stage
) -> None:
    found = explained(client, question=POEM)
    assert (found["verdict"], found["calls"]) == ("answer", [])
    assert found["scores"][0]["decision"] < 0
    assert stage.engine.requests == []


def test_the_question_is_taken_from_the_conversation(client: openai.OpenAI) -> None:
    messages = [
        {"role": "user", "content": RAIN},
        {"role": "assistant", "content": "It rains."},
        {"role": "user", "content": "And in Rome?"},
    ]
    assert explained(client, messages=messages)["question"] == f"{RAIN} And in Rome?"


@pytest.mark.parametrize(
    ("choice", "verdict"),
    [
        ("none", "answer"),
        ("required", "call"),
        ({"type": "function", "function": {"name": "get_weather"}}, "call"),
    ],
)
def test_the_choice_counts(client: openai.OpenAI, choice: Any, verdict: str) -> None:
    assert explained(client, question=POEM, tool_choice=choice)["verdict"] == verdict


@pytest.mark.parametrize("client", ["native"], indirect=True)
@pytest.mark.parametrize(("written", "verdict"), [(call("Paris"), "call"), ("Hello.", "answer")])
def test_of_a_model_that_writes_calls_its_writing_is_shown(
    client: openai.OpenAI, stage: Stage, written: str, verdict: str
) -> None:
    stage.engine = ScriptedEngine(written)
    found = explained(client, question=RAIN)
    assert (found["mode"], found["verdict"], found["output"]) == ("native", verdict, written)
    assert found["scores"] == [] and found["thresholds"] is None
    assert [json.loads(made["arguments"]) for made in found["calls"]] == (
        [{"city": "Paris"}] if verdict == "call" else []
    )


@pytest.mark.parametrize("client", ["native"], indirect=True)
def test_a_call_cut_by_the_token_limit_is_left_out(client: openai.OpenAI, stage: Stage) -> None:
    stage.engine = ScriptedEngine(call("Rome " * 200))
    found = explained(client, question=RAIN)
    assert (found["verdict"], found["calls"]) == ("answer", [])
    assert "Rome Rome" in found["output"] and "the unfinished call is left out" in found["output"]


@pytest.mark.parametrize("client", ["none"], indirect=True)
@pytest.mark.parametrize(("choice", "verdict"), [("auto", "answer"), ("required", "call")])
def test_a_model_of_mode_none_calls_only_when_it_must(
    client: openai.OpenAI, stage: Stage, choice: str, verdict: str
) -> None:
    # The runtime's own assembly of such a model, not a test's.
    stage.engine = ScriptedEngine(
        default_reply=lambda request: "Hm." if request.constraint is None else call("Paris")
    )
    found = explained(client, question=RAIN, tool_choice=choice)
    assert (found["mode"], found["verdict"]) == ("none", verdict)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "either 'question' or 'messages'"),
        ({"question": RAIN, "messages": [{"role": "user", "content": "Hi"}]}, "either 'question'"),
        ({"question": " \n"}, "the question is empty"),
        ({"messages": []}, "messages"),
        ({"messages": [ORPHAN]}, "must be a response to a preceeding message"),
        ({"messages": [UNANSWERED]}, "did not have response messages"),
        ({"question": RAIN, "tools": []}, "tools"),
        ({"question": RAIN, "tools": [WEATHER, WEATHER]}, "duplicate function name"),
        ({"question": RAIN, "tools": [WEATHER] * 129}, "tools"),
        ({"question": RAIN, "tools": [{"type": "function"}]}, "tools\\[0\\].function"),
        (
            {"question": RAIN, "tool_choice": {"type": "function", "function": {"name": "x"}}},
            "no function named 'x'",
        ),
        ({"question": RAIN, "temperature": 1}, "Unknown parameter"),
    ],
)
def test_bad_input_is_refused_before_anything_is_computed(
    client: openai.OpenAI, stage: Stage, body: dict[str, Any], said: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=said):
        explained(client, **body)
    assert stage.engine.requests == []


def test_a_schema_that_cannot_be_enforced_is_named(client: openai.OpenAI) -> None:
    function = {"name": "f", "parameters": {"properties": {"x": {"type": "nonsense"}}}}
    with pytest.raises(openai.BadRequestError, match="'f'"):
        explained(client, question=RAIN, tools=[{"type": "function", "function": function}])


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="nobody"):
        explained(client, model="nobody", question=RAIN)
