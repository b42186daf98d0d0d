"""``localassist tools explain``, driven as a user drives it."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from localassist.cli.main import app
from localassist.cli.output import console
from localassist.cli.tools import _argument_table
from localassist.engine import ScriptedEngine

Run = Callable[..., int]

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"name": "get_weather", "description": "Get the weather of a city", "parameters": CITY}
TIMER = {"name": "start_timer", "description": "Start a kitchen timer"}
AS_TOOL = {"type": "function", "function": WEATHER}


@pytest.fixture
def tools(tmp_path: Path) -> Callable[[object], str]:
    """Writes JSON, or a text as it is, to a file; returns its path."""

    def write(content: object) -> str:
        path = tmp_path / "tools.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return write


@pytest.fixture
def run() -> Run:
    """The exit code of ``localassist tools explain`` with these arguments."""

    def explain(*arguments: str) -> int:
        with pytest.raises(SystemExit) as caught:
            app(["tools", "explain", *arguments])
        return int(caught.value.code or 0)

    return explain


Capture = pytest.CaptureFixture[str]
Tools = Callable[[object], str]


@pytest.mark.parametrize(
    "content", [[AS_TOOL], [WEATHER], WEATHER, AS_TOOL, {"tools": [AS_TOOL]}], ids=str
)
def test_tools_come_in_several_forms(
    run: Run, tools: Tools, engine: ScriptedEngine, capsys: Capture, content: object
) -> None:
    engine.enqueue(' "Paris"}')
    arguments = ("Is it raining in Paris?", "--tools", tools(content))
    assert run(*arguments, "--tool-choice", "get_weather", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["object"], found["verdict"]) == ("tools.explanation", "call")
    assert json.loads(found["calls"][0]["arguments"]) == {"city": "Paris"}


def test_people_get_tables(run: Run, tools: Tools, engine: ScriptedEngine, capsys: Capture) -> None:
    question = "What is the [bold]weather in Paris?"
    engine.enqueue(' "Paris"}')
    arguments = (question, "--tools", tools([WEATHER, TIMER]), "--tool-choice", "required")
    assert run(*arguments) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "model smollm2-135m-instruct, tool mode guided" in lines
    assert f"question {question}" in lines
    assert sum(line.startswith(("get_weather", "start_timer")) for line in lines) == 2
    assert "verdict call get_weather" in lines
    assert any(line.startswith('city "Paris" words of the question') for line in lines)


def test_arguments_that_are_no_json_are_shown_as_they_are(capsys: Capture) -> None:
    console.print(_argument_table({"arguments": '{"city": "Par', "evidence": {}}))
    assert '{"city": "Par' in capsys.readouterr().out


def test_an_answer_is_a_verdict_too(
    run: Run, tools: Tools, engine: ScriptedEngine, capsys: Capture
) -> None:
    assert run("Write a poem about love", "--tools", tools([WEATHER])) == 0
    out = capsys.readouterr().out
    assert "answer" in out.split() and "below" in out.split()
    assert engine.requests == []


def test_tools_come_from_a_pipe(
    run: Run, engine: ScriptedEngine, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps([WEATHER])))
    assert run("Write a poem about love", "--tools", "-", "--json") == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "answer"


def test_tools_come_from_a_python_file(
    run: Run, engine: ScriptedEngine, capsys: Capture, tmp_path: Path
) -> None:
    path = tmp_path / "weather.py"
    path.write_text('def get_weather(city: str) -> str:\n    "Get the weather of a city"\n')
    engine.enqueue(' "Paris"}')
    arguments = ("Is it raining in Paris?", "--tools", str(path))
    assert run(*arguments, "--tool-choice", "get_weather", "--json") == 0
    (call,) = json.loads(capsys.readouterr().out)["calls"]
    assert call["name"] == "get_weather" and json.loads(call["arguments"]) == {"city": "Paris"}


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        ("[", (), "tools.json is not JSON"),
        ("[" * 100_000, (), "tools.json is not JSON"),
        ('[{"name": "f", "parameters": {"default": NaN}}]', (), "NaN is not a number in JSON"),
        ('[{"name": "f", "description": "\\ud800"}]', (), "surrogates not allowed"),
        ("[]", (), "must hold a list of at least one tool"),
        ("7", (), "must hold a list of at least one tool"),
        ([WEATHER, WEATHER], (), "duplicate function name 'get_weather'"),
        ([{**WEATHER, "parameters": {"type": "array"}}], (), "Invalid schema for function"),
        ([{**WEATHER, "name": "get weather"}], (), "tools[0].function.name"),
        (["get_weather"], (), "tools[0]"),
        ([WEATHER] * 129, (), "tools"),
        ([WEATHER], ("--tool-choice", "absent"), "no function named 'absent'"),
        ([WEATHER], ("--model", "absent"), "'absent'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    run: Run,
    tools: Tools,
    engine: ScriptedEngine,
    capsys: Capture,
    content: object,
    options: tuple[str, ...],
    said: str,
) -> None:
    assert run("What is the weather in Paris?", "--tools", tools(content), *options) == 2
    out, err = capsys.readouterr()
    assert out == "" and said.replace("'", "") in err.replace("'", "").replace("`", "")
    assert len(err.strip().splitlines()) == 1


def test_an_empty_question_and_an_absent_file_are_exit_code_2(
    run: Run, tools: Tools, engine: ScriptedEngine, capsys: Capture, tmp_path: Path
) -> None:
    assert run("a\udcff", "--tools", tools([WEATHER])) == 2
    assert "not valid text" in capsys.readouterr().err
    assert run(" ", "--tools", tools([WEATHER])) == 2
    assert "the question is empty" in capsys.readouterr().err
    assert run("Hi", "--tools", str(tmp_path / "absent.json")) == 2
    assert "absent.json cannot be read: No such file or directory." in capsys.readouterr().err


@pytest.mark.model
def test_the_embedded_model_explains_itself(run: Run, tools: Tools, capsys: Capture) -> None:
    path = tools([WEATHER, TIMER])
    assert run("What is the weather in Paris?", "--tools", path, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["mode"], found["verdict"]) == ("guided", "call")
    (call,) = found["calls"]
    assert call["name"] == "get_weather" and json.loads(call["arguments"]) == {"city": "Paris"}
    assert call["evidence"]["city"]
    scores = {score["name"]: score["decision"] for score in found["scores"]}
    assert scores["get_weather"] > 0 > scores["start_timer"]
