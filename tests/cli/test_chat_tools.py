"""``localassist chat --tools``: calls shown, asked about and made."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from localassist.cli.chat import tool_calls
from localassist.client.tool_runner import CallResult, FunctionCall
from localassist.engine import ScriptedEngine
from tests.cli.conftest import Run
from tests.conformance.serving import MODEL, scripted_settings

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")

FILE = '''
import os
from typing import Literal

def get_weather(city: str, unit: Literal["celsius", "fahrenheit"] = "celsius") -> dict:
    """Get the weather of a city."""
    return {"city": city, "degrees": 21}

async def note(text: str) -> str:
    """Write a note."""
    return "noted"

def fail() -> None:
    """Fail."""
    raise RuntimeError("no [bold]wind")

def wait() -> None:
    """Wait for ever."""
    import threading
    print("waiting")
    threading.Event().wait(60)
'''


def call(name: str, **arguments: Any) -> str:
    body = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{body}\n</tool_call>"


PARIS = call("get_weather", city="Paris")


@pytest.fixture
def tools(
    tmp_path: Path, localassist_home: Path, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> str:
    """The file, and a model that calls by itself."""
    scripted_settings(localassist_home)
    monkeypatch.setenv("LOCALASSIST_MODELS__DEFAULT_CHAT", MODEL)
    path = tmp_path / "tools.py"
    path.write_text(FILE)
    return str(path)


def told(engine: ScriptedEngine) -> str:
    return engine.detokenize(engine.requests[-1].prompt)


def test_a_call_is_shown_and_made_after_a_yes(
    terminal: Run, tools: str, engine: ScriptedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.enqueue("I look. " + PARIS, "It is warm.")
    assert terminal("Weather?\ry\r/exit\r", "--tools", tools) == 0
    out, err = capsys.readouterr()
    assert out == "I look.\nIt is warm.\n"
    lines = err.splitlines()
    assert "get_weather, note, fail, wait" in lines[0]
    assert lines[1:3] == ['→ get_weather(city="Paris")', '← {"city":"Paris","degrees":21}']
    assert '{"city":"Paris","degrees":21}' in told(engine)


@pytest.mark.parametrize("answer", ["\r", "n\r", "x\r", "\x04"])
def test_anything_but_a_yes_refuses(
    terminal: Run,
    tools: str,
    engine: ScriptedEngine,
    capsys: pytest.CaptureFixture[str],
    answer: str,
) -> None:
    engine.enqueue(PARIS, "Then not.")
    assert terminal(f"Weather?\r{answer}/exit\r", "--tools", tools) == 0
    out, err = capsys.readouterr()
    assert out == "Then not.\n" and "not called" in err
    assert "refused" in told(engine) and "degrees" not in told(engine)


def test_each_of_several_calls_is_asked_about(
    terminal: Run, tools: str, engine: ScriptedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.enqueue(PARIS + "\n" + call("note", text="x"), call("fail"), "Well.")
    assert terminal("Go!\rn\ry\ry\r/exit\r", "--tools", tools) == 0
    out, err = capsys.readouterr()
    assert out == "Well.\n"
    marks = [line.strip() for line in err.splitlines()[1:-1]]
    assert marks == [
        '→ get_weather(city="Paris")',
        "not called",
        '→ note(text="x")',
        "← noted",
        "→ fail()",
        "Error: RuntimeError: no [bold]wind",
    ]
    assert "Error: RuntimeError: no [bold]wind" in told(engine)


def test_a_pipe_needs_yes_and_then_asks_nothing(
    pipe: Run, tools: str, engine: ScriptedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.enqueue(PARIS, "It is warm.")
    assert pipe("Weather?", "--tools", tools) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1) and "--yes" in err
    assert not engine.requests
    assert pipe("Weather?", "--tools", tools, "--yes") == 0
    out, err = capsys.readouterr()
    assert out == "It is warm.\n"
    assert err.splitlines() == ['→ get_weather(city="Paris")', '← {"city":"Paris","degrees":21}']


def test_yes_without_tools_is_a_mistake(
    pipe: Run, engine: ScriptedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pipe("Hi", "--yes") == 2
    assert "--tools FILE.py" in capsys.readouterr().err


def test_an_interrupt_inside_a_function_ends_the_answer_only(
    terminal: Run, tools: str, engine: ScriptedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.enqueue(call("wait"), "Here again.")
    original = tool_calls.show_call

    def interrupt_soon(shown: FunctionCall) -> bool:
        threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
        return original(shown)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tool_calls, "show_call", interrupt_soon)
        code = terminal("Wait!\rStill there?\r/exit\r", "--tools", tools, "--yes")
    out, _ = capsys.readouterr()
    assert (code, out) == (0, "waiting\nHere again.\n")
    assert "Still there?" in told(engine)


def shown(capsys: pytest.CaptureFixture[str], arguments: str) -> tuple[bool, str]:
    is_whole = tool_calls.show_call(FunctionCall("call_1", "f", arguments))
    return is_whole, capsys.readouterr().err


def test_long_values_are_shortened_and_can_be_viewed(
    terminal: Run, tools: str, engine: ScriptedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    long = "word " * 100
    is_whole, text = shown(capsys, json.dumps({"text": long, "n": 1}))
    assert not is_whole and text.startswith('→ f(text="word word') and text.endswith(", n=1)\n")
    assert "… (502 characters)" in text and len(text) < 160
    engine.enqueue(call("note", text=long), "Done.")
    assert terminal("Note!\rv\ry\r/exit\r", "--tools", tools) == 0
    out, err = capsys.readouterr()
    assert out == "Done.\n" and f'note(text="{long}")' in err


def test_what_the_model_wrote_cannot_steer_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    is_whole, text = shown(capsys, json.dumps({"a": "\x1b[2J\x9b1m\u202egnp"}))
    assert is_whole and text == '→ f(a="\\u001b[2J\\u009b1m\\u202egnp")\n'
    assert shown(capsys, "[1]") == (True, "→ f([1])\n")
    assert shown(capsys, "{")[1] == "→ f({)\n"
    result = CallResult(FunctionCall("call_1", "f", "{}"), "a\nb\x1b[0m" + "c" * 300)
    tool_calls.show_result(result)
    assert capsys.readouterr().err.startswith("← a b\\u001b[0mccc")
