from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from localassist.cli.chat import answers, command
from localassist.cli.chat.conversation import Conversation
from localassist.client.client import LocalAssist
from localassist.engine import ScriptedEngine
from localassist.errors import GenerationFailed
from tests.cli.conftest import Run

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")


def last_thread(home: Path) -> str:
    return (home / "last_chat").read_text()


def texts(home: Path) -> list[str]:
    """What has been said in the last conversation, oldest first."""
    with LocalAssist(home) as client:
        messages = client.beta.threads.messages.list(last_thread(home), order="asc")
        return [message.content[0].text.value for message in messages]  # type: ignore[union-attr]


def prompt_of(engine: ScriptedEngine, index: int = -1) -> str:
    return engine.detokenize(engine.requests[index].prompt)


def test_a_pipe_gets_the_bare_answer(
    pipe: Run, engine: ScriptedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pipe("What is 2 + 2?\n") == 0
    assert capsys.readouterr() == ("It is four.\n", "")
    assert "What is 2 + 2?" in prompt_of(engine)


def test_a_resumed_conversation_remembers(
    pipe: Run, engine: ScriptedEngine, localassist_home: Path
) -> None:
    assert pipe("My name is Alex.", "--system", "Be kind.") == 0
    first = last_thread(localassist_home)
    assert pipe("Who am I?", "--resume") == 0
    assert last_thread(localassist_home) == first
    assert "My name is Alex." in prompt_of(engine) and "Be kind." in prompt_of(engine)
    assert pipe("A new one.") == 0
    assert "Alex" not in prompt_of(engine)
    assert pipe("And me?", "--resume", first) == 0
    assert "Who am I?" in prompt_of(engine)
    assert texts(localassist_home)[::2] == ["My name is Alex.", "Who am I?", "And me?"]


def test_a_killed_conversation_is_gone_on_with(
    pipe: Run,
    engine: ScriptedEngine,
    localassist_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def known_when_asked(self: Conversation, *arguments: Any, **options: Any) -> Any:
        known.append(last_thread(localassist_home))
        return run(self, *arguments, **options)

    known: list[str] = []
    run = Conversation._run
    monkeypatch.setattr(Conversation, "_run", known_when_asked)
    assert pipe("Who am I?") == 0
    assert known == [last_thread(localassist_home)]


def test_options_reach_the_model(pipe: Run, engine: ScriptedEngine) -> None:
    assert pipe("Hi", "--temperature", "0", "--model", "smollm2-135m-instruct") == 0
    assert engine.requests[-1].sampling.temperature == 0


@pytest.mark.parametrize(
    ("question", "arguments", "code", "said"),
    [
        (" \n", (), 2, "no question"),
        ("Hi", ("--resume",), 2, "no conversation"),
        ("Hi", ("thread_x",), 2, "--resume thread_x"),
        ("Hi", ("--resume", "thread_x"), 1, "No thread found with id 'thread_x'."),
        ("Hi", ("--resume", ".."), 1, "'..' is no id of a conversation."),
        ("a\0b", (), 2, "NUL characters"),
        ("Hi", ("--model", "nope"), 1, "The requested model 'nope' does not exist."),
    ],
)
def test_what_cannot_work_is_one_line_and_a_code(
    pipe: Run,
    engine: ScriptedEngine,
    capsys: pytest.CaptureFixture[str],
    question: str,
    arguments: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    assert pipe(question, *arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("localassist: ") and err.count("\n") == 1
    assert said in err


def test_a_failed_run_is_said_and_is_not_success(
    pipe: Run,
    engine: ScriptedEngine,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine.enqueue(GenerationFailed("The engine broke."))
    assert pipe("Hi") == 1
    assert "failed" not in caplog.text  # it would be said twice
    out, err = capsys.readouterr()
    assert out.strip() == ""
    assert err.splitlines()[-1].startswith("localassist: The run failed: ")


@pytest.mark.parametrize("leave", ["/exit\r", "\x04"])
def test_turns_until_the_user_leaves(
    terminal: Run,
    engine: ScriptedEngine,
    capsys: pytest.CaptureFixture[str],
    localassist_home: Path,
    leave: str,
) -> None:
    engine.enqueue("One.", "Two.")
    assert terminal(f"First?\rhalf a line\x03\rSecond?\r{leave}") == 0
    out, err = capsys.readouterr()
    assert out == "One.\nTwo.\n"
    assert f"--resume {last_thread(localassist_home)}" in err
    assert "First?" in prompt_of(engine) and "half a line" not in prompt_of(engine)
    assert "First?" in (localassist_home / "chat_history").read_text()


def test_a_failure_does_not_end_the_conversation(
    terminal: Run, engine: ScriptedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.enqueue(GenerationFailed("The engine broke."), "Better.")
    assert terminal("First?\rSecond?\r/exit\r") == 0
    out, err = capsys.readouterr()
    assert out.endswith("Better.\n")
    assert "The run failed" in err


def test_an_interrupt_cancels_the_answer_and_keeps_its_beginning(
    pipe: Run, engine: ScriptedEngine, localassist_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.enqueue("word " * 2000)
    original = command.show_answer

    def once_it_talks() -> None:
        while not engine.counters.running:
            time.sleep(0.01)
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)

    def interrupted(*arguments: Any, **options: Any) -> None:
        threading.Thread(target=once_it_talks, daemon=True).start()
        original(*arguments, **options)

    monkeypatch.setattr(command, "show_answer", interrupted)
    monkeypatch.setattr(engine, "_delay_seconds", 0.02)
    assert pipe("Talk!") == 130
    assert engine.counters.aborted == 1
    question, answer = texts(localassist_home)
    assert question == "Talk!"
    assert answer.startswith("word") and len(answer) < 5000


def test_a_long_load_is_shown_with_how_far_it_is(
    engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = "Loading the model and reading …"
    loading: dict[str, float] = {"big": 0.424}
    client = LocalAssist()
    conversation = Conversation(client, "gpt-4o")
    line = answers.LoadLine(conversation)
    conversation.reading = ("opening", 0, 1)
    assert line.__rich__().startswith("Opening the embedding model")
    conversation.reading = ("reading", 0.42, 1)
    assert line.__rich__() == "Reading 42% …"
    conversation.reading = None
    with monkeypatch.context() as patch:
        patch.setattr("localassist.client.client.loading", lambda _: loading)
        assert line.__rich__() == reading
        line._started -= 10
        assert line.__rich__() == "Loading big 42% …"
        loading.clear()
        assert line.__rich__().startswith(f"{reading} 1")
    assert line.__rich__().startswith(f"{reading} 1")
    client.close()
    assert line.__rich__() == reading


def test_what_an_answer_needs_is_loaded_once_the_first_line_can_be_typed(
    terminal: Run, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        "localassist.client.client.make_ready", lambda client, settings, model: asked.append(model)
    )
    assert terminal("Hello\rAgain\r\x04") == 0
    assert asked == ["smollm2-135m-instruct"]
