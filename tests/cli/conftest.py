"""The command line over a scripted engine, in this process."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from localassist.cli.main import app
from localassist.client import host
from localassist.engine import ScriptedEngine
from tests.server.serving import Stage, scripted

Run = Callable[..., int]
Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a command; its exit code and what it wrote to both streams."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            app([str(argument) for argument in arguments])
        shown = capsys.readouterr()
        return int(caught.value.code or 0), shown.out, shown.err

    return run


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> ScriptedEngine:
    """The engine behind every in-process client of the test."""
    stage = Stage()
    stage.engine = ScriptedEngine(default_reply="It is four.")
    monkeypatch.setattr(host, "open_runtime", scripted(stage))
    return stage.engine


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``localassist chat`` with a question on standard input; returns the exit code."""

    def run(question: str, *arguments: str) -> int:
        monkeypatch.setattr(sys, "stdin", io.StringIO(question))
        with pytest.raises(SystemExit) as caught:
            app(["chat", *arguments])
        return int(caught.value.code or 0)

    return run


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Type into ``localassist chat``; returns the exit code."""

    def run(keys: str, *arguments: str) -> int:
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        monkeypatch.setattr("prompt_toolkit.output.create_output", lambda **_: DummyOutput())
        with create_pipe_input() as keyboard:
            monkeypatch.setattr(
                "prompt_toolkit.application.current.AppSession.input", property(lambda _: keyboard)
            )
            keyboard.send_text(keys)
            with pytest.raises(SystemExit) as caught:
                app(["chat", *arguments])
        return int(caught.value.code or 0)

    return run
