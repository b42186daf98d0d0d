from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from localassist.cli.main import app
from localassist.engine import ScriptedEngine
from localassist.settings import load_settings
from tests.runs.conftest import WEATHER, begin
from tests.runs.test_timelines import CALL
from tests.server.serving import Stage, scripted


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        app(["runs", *arguments])
    return int(caught.value.code or 0)


@pytest.fixture
def made() -> list[str]:
    """Ids of an answered run and of one that waits for its caller, and the first one's thread."""

    async def make() -> list[str]:
        stage = Stage()
        stage.engine = ScriptedEngine("It is four.", CALL)
        async with scripted(stage)(load_settings()) as runtime:
            model = "smollm2-135m-instruct"
            answered, waiting = await begin(runtime, model=model), await begin(runtime, model=model)
            forced = {"type": "function", "function": {"name": "get_weather"}}
            first = await answered.finish()
            second = await waiting.finish(tools=[WEATHER], tool_choice=forced)
            return [first.id, second.id, first.thread_id]

    return asyncio.run(make())


def test_runs_are_listed_newest_first(made: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    first, second, thread = made
    assert run("list", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [one["id"] for one in listed] == [second, first]
    assert run("list", thread, "--json") == 0
    (only,) = json.loads(capsys.readouterr().out)
    assert (only["id"], only["status"]) == (first, "completed")
    assert only["usage"]["completion_tokens"] > 0 and "timeline" not in only
    assert run("list", "--limit", "1") == 0
    table = capsys.readouterr().out
    assert second in table and first not in table


def test_a_run_is_shown_with_its_time_line(
    made: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("show", made[0]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"{made[0]}  completed\n")
    assert "completion tokens; first text after" in shown
    for label in ("message  completed", "queue ", "model ", "prefill ", "decode "):
        assert label in shown
    assert run("show", made[0], "--json") == 0
    told = json.loads(capsys.readouterr().out)
    names = [phase["name"] for phase in told["timeline"]["phases"]]
    assert names == ["queued", "model", "prefill", "decode"]
    assert [step["type"] for step in told["steps"]] == ["message_creation"]


def test_looking_says_what_a_run_waits_for_and_works_on_none(
    made: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert run("show", made[1]) == 0
        shown = capsys.readouterr().out
        doing = "requires_action: waiting for its caller to answer get_weather"
        assert shown.startswith(f"{made[1]}  {doing}\n")


def test_an_unknown_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "run_nothing") == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err == "localassist: No run found with id 'run_nothing'.\n"
