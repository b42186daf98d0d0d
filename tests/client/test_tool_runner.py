"""The loop that answers a run's calls with functions, over the real server and a scripted model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import openai
import pytest
from pydantic import AfterValidator

from localassist import AsyncLocalAssist, LocalAssist, run_tools, run_tools_async
from localassist.client import host
from localassist.client.tool_runner import (
    REFUSED,
    CallResult,
    FunctionCall,
    Run,
    TooManyRounds,
    stream_tools,
)
from localassist.engine import ScriptedEngine
from tests.conformance.serving import MODEL, scripted_settings
from tests.server.serving import Stage, on_socket, scripted

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")

Ids = dict[str, str]


def call(name: str, **arguments: Any) -> str:
    body = json.dumps({"name": name, "arguments": arguments})
    return f"<tool_call>\n{body}\n</tool_call>"


def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return f"{city}: 20 C"


def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


def fail(reason: str) -> None:
    """Fail."""
    raise RuntimeError(reason)


async def slowly(x: int) -> int:
    """Double, after a while."""
    await asyncio.sleep(0)
    return 2 * x


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    stage = Stage()
    monkeypatch.setattr(host, "open_runtime", scripted(stage))
    return stage


@pytest.fixture
def script(stage: Stage) -> Callable[..., ScriptedEngine]:
    def use(*replies: Any) -> ScriptedEngine:
        stage.engine = ScriptedEngine(*replies, model_id=MODEL, default_reply="Done.")
        return stage.engine

    return use


@pytest.fixture
def client(tmp_path: Path, stage: Stage) -> Iterator[LocalAssist]:
    with LocalAssist(settings=scripted_settings(tmp_path / "home")) as client:
        yield client


def begin(client: openai.OpenAI, **assistant: Any) -> Ids:
    made = client.beta.assistants.create(model="gpt-4o", **assistant)
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "Well?"}])
    return {"thread_id": thread.id, "assistant_id": made.id}


def answer(client: openai.OpenAI, ids: Ids) -> str:
    (newest, *_) = client.beta.threads.messages.list(ids["thread_id"]).data
    return newest.content[0].text.value  # type: ignore[union-attr]


def told(engine: ScriptedEngine) -> str:
    """What the model read last."""
    return engine.detokenize(engine.requests[-1].prompt)


def test_several_rounds_and_calls(
    client: LocalAssist, script: Callable[..., ScriptedEngine]
) -> None:
    two = call("get_weather", city="Rome") + "\n" + call("slowly", x=4)
    engine = script("I will look. " + two, call("add", a=1, b=2), "It is 3.")
    ids = begin(client)
    calls: list[FunctionCall] = []
    said: list[str] = []
    run = run_tools(
        client, **ids, tools=[get_weather, add, slowly], on_call=calls.append, on_text=said.append
    )
    assert (run.status, "".join(said)) == ("completed", "I will look.It is 3.")
    assert [(c.name, c.arguments) for c in calls] == [
        ("get_weather", '{"city": "Rome"}'),
        ("slowly", '{"x": 4}'),
        ("add", '{"a": 1, "b": 2}'),
    ]
    assert len({c.id for c in calls}) == 3
    assert all(text in told(engine) for text in ("Rome: 20 C", "8", "3.0"))


def test_it_works_with_any_client_over_http(
    tmp_path: Path, stage: Stage, script: Callable[..., ScriptedEngine]
) -> None:
    script(call("add", a=1, b=2), "It is 3.")
    with on_socket(scripted_settings(tmp_path), stage) as client:
        ids = begin(client)
        assert run_tools(client, **ids, tools=[add]).status == "completed"
        assert answer(client, ids) == "It is 3."


def test_what_goes_wrong_is_told_to_the_model(
    client: LocalAssist, script: Callable[..., ScriptedEngine]
) -> None:
    calls = [call("fail", reason="no wind"), call("add", a=1, b=2), call("other")]
    engine = script("\n".join(calls))
    declared = {"type": "function", "function": {"name": "other"}}
    ids = begin(client, tools=[declared])
    items = list(stream_tools(client, **ids, tools=[fail, add]))
    results = [item for item in items if isinstance(item, CallResult)]
    assert [one.output for one in results] == [
        "Error: RuntimeError: no wind",
        "3.0",
        "Error: There is no function other here.",
    ]
    assert isinstance(results[0].error, RuntimeError) and results[1].error is None
    assert isinstance(items[-1], Run) and items[-1].status == "completed"
    assert "Error: RuntimeError: no wind" in told(engine)


def test_a_refused_call_is_not_made(
    client: LocalAssist, script: Callable[..., ScriptedEngine]
) -> None:
    engine = script(call("fail", reason="made") + "\n" + call("add", a=1, b=2))
    ids = begin(client)
    run = run_tools(client, **ids, tools=[fail, add], on_call=lambda call: call.name != "fail")
    assert run.status == "completed"
    assert REFUSED in told(engine) and "Error" not in told(engine)
    assert "3.0" in told(engine)


def test_tools_join_those_of_the_assistant(
    client: LocalAssist, script: Callable[..., ScriptedEngine]
) -> None:
    script("Hello.")
    other = {"type": "function", "function": {"name": "other"}}
    old = {"type": "function", "function": {"name": "add", "description": "old"}}
    ids = begin(client, tools=[{"type": "file_search"}, other, old])
    run = run_tools(client, **ids, tools=[add], temperature=0.5)
    names = [getattr(getattr(t, "function", None), "name", t.type) for t in run.tools]
    assert names == ["file_search", "other", "add"] and run.temperature == 0.5
    assert run.tools[-1].function.description == "Add two numbers."  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="one name"):
        run_tools(client, **ids, tools=[add, add])


def test_too_many_rounds_end_the_run(
    client: LocalAssist, script: Callable[..., ScriptedEngine]
) -> None:
    script(*[call("add", a=1, b=2)] * 3)
    ids = begin(client)
    with pytest.raises(TooManyRounds, match="add"):
        run_tools(client, **ids, tools=[add], max_rounds=2)
    assert ended(client, ids).status == "cancelled"


def ended(client: openai.OpenAI, ids: Ids) -> Any:
    (run,) = client.beta.threads.runs.list(ids["thread_id"]).data
    return client.beta.threads.runs.poll(run.id, thread_id=ids["thread_id"])


def test_an_interrupted_function_frees_the_thread(
    client: LocalAssist, script: Callable[..., ScriptedEngine]
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    script(call("interrupted"))
    ids = begin(client)
    with pytest.raises(KeyboardInterrupt):
        run_tools(client, **ids, tools=[interrupted])
    assert ended(client, ids).status == "cancelled"
    client.beta.threads.messages.create(ids["thread_id"], role="user", content="Go on.")


def test_leaving_the_stream_early_cancels_the_run(
    client: LocalAssist, script: Callable[..., ScriptedEngine]
) -> None:
    script(call("add", a=1, b=2))
    ids = begin(client)
    with closing(stream_tools(client, **ids, tools=[add])) as items:
        assert isinstance(next(items), FunctionCall)
    assert ended(client, ids).status == "cancelled"


def test_a_run_that_expires_meanwhile_is_returned(
    tmp_path: Path, stage: Stage, script: Callable[..., ScriptedEngine]
) -> None:
    script(call("wait"))
    settings = scripted_settings(tmp_path, runs={"lifetime_seconds": 1})
    with LocalAssist(settings=settings) as client:
        ids = begin(client)

        def wait() -> str:
            assert ended_without_polling(client, ids) == "expired"
            return "too late"

        assert run_tools(client, **ids, tools=[wait]).status == "expired"


def ended_without_polling(client: openai.OpenAI, ids: Ids) -> str:
    """The status of the run once it waits no more; polling helpers return while it waits."""
    while True:
        (run,) = client.beta.threads.runs.list(ids["thread_id"]).data
        if run.status != "requires_action":
            return run.status


def even(number: int) -> int:
    if number % 2:
        raise ValueError("odd")
    return number


async def test_the_async_twin(
    tmp_path: Path, stage: Stage, script: Callable[..., ScriptedEngine]
) -> None:
    def halve(number: Annotated[int, AfterValidator(even)]) -> None: ...

    both = asyncio.Barrier(2) if hasattr(asyncio, "Barrier") else None

    async def meet(who: str) -> str:
        if both is not None:
            await both.wait()
        return f"met {who}"

    engine = script(
        call("meet", who="a") + "\n" + call("meet", who="b") + "\n" + call("halve", number=3)
    )
    async with AsyncLocalAssist(settings=scripted_settings(tmp_path / "home")) as client:
        assistant = await client.beta.assistants.create(model="gpt-4o")
        thread = await client.beta.threads.create(messages=[{"role": "user", "content": "Well?"}])
        said: list[str] = []
        run = await run_tools_async(
            client,
            thread_id=thread.id,
            assistant_id=assistant.id,
            tools=[meet, halve],
            on_text=said.append,
        )
    assert (run.status, "".join(said)) == ("completed", "Done.")
    assert "met a" in told(engine) and "met b" in told(engine)
    assert "The arguments of halve are not valid. number: Value error, odd" in told(engine)
