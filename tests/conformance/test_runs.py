"""Runs without streams: create and poll, options, locks, cancel."""

from __future__ import annotations

import time
from collections.abc import Callable

import openai
import pytest

from localassist.engine import ScriptedEngine
from localassist.errors import GenerationFailed
from tests.conformance.conftest import ANSWER, WEATHER, Talk, begin
from tests.conformance.serving import call

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")

UseEngine = Callable[..., ScriptedEngine]


def test_create_then_look_until_it_has_ended(talk: Talk) -> None:
    runs = talk.client.beta.threads.runs
    run = runs.create(**talk.ids)
    assert (run.status, run.usage, run.started_at) == ("queued", None, None)
    assert run.expires_at == run.created_at + 600
    statuses = [run.status]
    while run.status not in ("completed", "failed"):
        time.sleep(0.01)
        run = runs.retrieve(run.id, thread_id=talk.thread_id)
        statuses.append(run.status)
    assert run.status == "completed" and set(statuses) <= {"queued", "in_progress", "completed"}
    assert (run.expires_at, run.last_error, run.required_action) == (None, None, None)
    assert run.usage is not None and run.usage.completion_tokens == len(ANSWER)
    assert talk.texts() == ["How is the day?", ANSWER]


def test_create_and_poll(talk: Talk) -> None:
    runs = talk.client.beta.threads.runs
    run = runs.create_and_poll(**talk.ids)
    assert run.status == "completed"
    assert runs.retrieve(run.id, thread_id=talk.thread_id) == run
    assert runs.list(talk.thread_id).data == [run]
    (step,) = runs.steps.list(run.id, thread_id=talk.thread_id).data
    assert runs.steps.retrieve(step.id, thread_id=talk.thread_id, run_id=run.id) == step
    assert (step.type, step.status) == ("message_creation", "completed")
    assert step.usage is not None and run.usage is not None
    assert step.usage.to_dict() == run.usage.to_dict()
    (message,) = talk.client.beta.threads.messages.list(talk.thread_id, run_id=run.id).data
    assert step.step_details.message_creation.message_id == message.id  # type: ignore[union-attr]


def test_create_and_run_poll_makes_the_thread(client: openai.OpenAI) -> None:
    assistant = client.beta.assistants.create(model="gpt-4o")
    run = client.beta.threads.create_and_run_poll(
        assistant_id=assistant.id,
        thread={"messages": [{"role": "user", "content": "Hi"}], "metadata": {"a": "1"}},
    )
    assert run.status == "completed"
    assert client.beta.threads.retrieve(run.thread_id).metadata == {"a": "1"}
    assert Talk(client, assistant.id, run.thread_id).texts() == ["Hi", ANSWER]


def test_what_a_run_asks_for_wins_over_its_assistant(
    client: openai.OpenAI, engine: ScriptedEngine
) -> None:
    talk = begin(client, instructions="Speak like a pirate.", temperature=0.1)
    run = client.beta.threads.runs.create_and_poll(
        **talk.ids,
        instructions="Be brief.",
        additional_instructions="Be kind.",
        additional_messages=[{"role": "user", "content": "One more thing."}],
        temperature=0,
        top_p=0.3,
        tools=[{"type": "code_interpreter"}],
        metadata={"a": "1"},
        truncation_strategy={"type": "last_messages", "last_messages": 4},
    )
    assert (run.instructions, run.temperature, run.top_p) == ("Be brief.\nBe kind.", 0, 0.3)
    assert [tool.type for tool in run.tools] == ["code_interpreter"]
    prompt = engine.detokenize(engine.requests[-1].prompt)
    assert "Be brief.\nBe kind." in prompt and "pirate" not in prompt
    assert talk.texts() == ["How is the day?", "One more thing.", ANSWER]


def test_a_failure_is_a_state_of_the_run(talk: Talk, use_engine: UseEngine) -> None:
    use_engine(GenerationFailed("the model broke"))
    run = talk.client.beta.threads.runs.create_and_poll(**talk.ids)
    assert run.status == "failed" and run.last_error is not None
    assert (run.last_error.code, run.last_error.message) == ("server_error", "the model broke")
    talk.say("Again, please.")
    assert talk.client.beta.threads.runs.create_and_poll(**talk.ids).status == "completed"


def test_a_busy_thread_refuses_messages_and_runs(talk: Talk, use_engine: UseEngine) -> None:
    use_engine("word " * 2000, delay_seconds=0.01)
    runs = talk.client.beta.threads.runs
    run = runs.create(**talk.ids)
    with pytest.raises(openai.BadRequestError) as caught:
        talk.say("Hurry!")
    message = f"Can't add messages to {talk.thread_id} while a run {run.id} is active."
    assert caught.value.body == error_body(message)
    with pytest.raises(openai.BadRequestError) as caught:
        runs.create(**talk.ids)
    message = f"Thread {talk.thread_id} already has an active run {run.id}."
    assert caught.value.body == error_body(message)
    runs.cancel(run.id, thread_id=talk.thread_id)
    assert runs.poll(run.id, thread_id=talk.thread_id).status == "cancelled"
    talk.say("Better.")


def test_cancelling_keeps_what_was_said(talk: Talk, use_engine: UseEngine) -> None:
    engine = use_engine("word " * 2000, delay_seconds=0.005)
    runs, messages = talk.client.beta.threads.runs, talk.client.beta.threads.messages
    run = runs.create(**talk.ids)
    while not (engine.counters.running and len(messages.list(talk.thread_id).data) == 2):
        time.sleep(0.01)
    time.sleep(0.1)
    assert runs.cancel(run.id, thread_id=talk.thread_id).status == "cancelling"
    run = runs.poll(run.id, thread_id=talk.thread_id)
    assert run.status == "cancelled" and run.cancelled_at is not None
    answer = messages.list(talk.thread_id).data[0]
    assert answer.status == "incomplete" and answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "run_cancelled"
    assert ("word " * 2000).startswith(talk.texts()[1]) and talk.texts()[1]
    (step,) = runs.steps.list(run.id, thread_id=talk.thread_id).data
    assert step.status == "cancelled"
    with pytest.raises(openai.BadRequestError) as caught:
        runs.cancel(run.id, thread_id=talk.thread_id)
    assert caught.value.body == error_body("Cannot cancel run with status 'cancelled'.")


def test_a_run_that_is_cancelled_asks_for_nothing_any_more(
    client: openai.OpenAI, use_engine: UseEngine
) -> None:
    """``required_action`` was still there while such a run was ``cancelling``."""
    use_engine(call("Rome"))
    talk = begin(client, "Rain in Rome?", tools=[WEATHER])
    runs = talk.client.beta.threads.runs
    run = runs.create_and_poll(**talk.ids)
    assert run.required_action is not None
    assert runs.cancel(run.id, thread_id=talk.thread_id).required_action is None


def test_cancelling_a_run_that_waits_for_outputs(
    client: openai.OpenAI, use_engine: UseEngine
) -> None:
    use_engine(call("Paris"))
    talk = begin(client, tools=[WEATHER])
    runs = client.beta.threads.runs
    run = runs.create_and_poll(**talk.ids)
    assert run.status == "requires_action"
    assert runs.cancel(run.id, thread_id=talk.thread_id).status == "cancelling"
    run = runs.poll(run.id, thread_id=talk.thread_id)
    assert (run.status, run.required_action) == ("cancelled", None)


def error_body(message: str) -> dict[str, str | None]:
    return {"message": message, "type": "invalid_request_error", "param": None, "code": None}
