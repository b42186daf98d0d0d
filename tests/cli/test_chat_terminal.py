"""``localassist chat`` in a real terminal: what stands on the screen, and which keys do what."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from tests.cli.terminals import ALT_ENTER, CTRL_C, CTRL_D, TAB, scripted_terminal
from tests.cli.test_chat_tools import call

CONTROL = re.compile(rb"\x1b\[[0-9;]*[34]\dm")  # a colour


def test_a_conversation_as_a_person_has_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    replies = ("It is **four**.", "word " * 3000, "Again.")
    (tmp_path / "notes.md").write_text("Paris is the capital of France.")
    with scripted_terminal(home, *replies, delay=0.01, columns=160) as seen:
        seen.wait_for("Ctrl-D leaves")
        seen.wait_for_prompt()
        seen.wait_for("scripted · new")
        seen.type(f"/att{TAB}")
        seen.wait_for("> /attach")
        seen.type(f" {tmp_path}/no{TAB}")
        seen.wait_for("notes.md")
        seen.type("\r")
        seen.wait_for("with notes.md")
        seen.type(f"/detach\rWhat is{ALT_ENTER}2 + 2?\r")
        seen.wait_for("It is four.")
        seen.wait_for("scripted · thread_")
        assert "> What is\n… 2 + 2?\n" in seen.text and "with notes.md" not in seen.text
        seen.type("Talk!\r")
        seen.wait_for("word word")
        seen.type(f"typed ahead{CTRL_C}")
        seen.wait_for("Stopped. What was said so far stays")
        seen.wait_for("> typed ahead")
        assert seen.text.count("typed ahead") == 1
        seen.type(CTRL_C)
        seen.type("Once more?\r")
        seen.wait_for("Again.")
        seen.wait_for_prompt()
        seen.type(CTRL_D)
        assert seen.end() == 0
        assert "To go on: localassist chat --resume thread_" in seen.text
    with scripted_terminal(home, arguments=("chat", "--resume")) as seen:
        seen.wait_for("Again.")
        seen.wait_for_prompt()
        assert "> Once more?" in seen.text
        seen.type(CTRL_D)
        assert seen.end() == 0
    history = (home / "chat_history").read_text()
    assert "+Talk!" in history and "typed ahead" not in history
    assert (home / "chat_history").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("columns", "environ"),
    [(40, {"NO_COLOR": "1"}), (40, {"TERM": "dumb"})],
    ids=["narrow without colours", "dumb"],
)
def test_a_terminal_that_can_do_little(
    tmp_path: Path, columns: int, environ: dict[str, str]
) -> None:
    answer = "It is **four**, and a `word` is a word in a sentence that is longer than a line."
    with scripted_terminal(tmp_path / "home", answer, columns=columns, **environ) as seen:
        seen.wait_for("Ctrl-D leaves")
        seen.wait_for_prompt()
        seen.type("What?\r")
        seen.wait_for("longer than")
        seen.type("/help\r")
        seen.wait_for("/exit")
        seen.type("/threads\r")
        seen.wait_for("2 messages")
        seen.type("/steps\r")
        seen.wait_for("decode")
        seen.type("/exit\r")
        assert seen.end() == 0
    assert not CONTROL.search(seen.raw)
    if environ.get("TERM") == "dumb":
        assert not re.search(rb"\x1b\[[0-9]", seen.raw)  # nothing moves the cursor


def test_a_function_that_takes_long_is_stopped_without_a_trace_of_the_key(tmp_path: Path) -> None:
    tools = tmp_path / "tools.py"
    tools.write_text("import time\n\ndef wait() -> None:\n    time.sleep(600)\n")
    arguments = ("chat", "--yes", "--tools", str(tools))
    with scripted_terminal(tmp_path / "home", call("wait"), arguments=arguments) as seen:
        seen.wait_for("Ctrl-D leaves")
        seen.wait_for_prompt()
        seen.type("Wait!\r")
        seen.wait_for("→ wait()")
        seen.type(CTRL_C)
        seen.wait_for("Stopped. What was said so far stays")
        seen.wait_for_prompt()
        assert "^C" not in seen.text
        seen.type(CTRL_D)
        assert seen.end() == 0


def test_a_data_folder_of_a_newer_release_is_a_line(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with scripted_terminal(home, "Hi.") as seen:
        seen.wait_for("Ctrl-D leaves")
        seen.wait_for_prompt()
        seen.type(CTRL_D)
        assert seen.end() == 0
    with sqlite3.connect(home / "localassist.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    with scripted_terminal(home) as seen:
        assert seen.end() == 2
    assert seen.text.startswith("localassist: ") and "Traceback" not in seen.text
    assert "newer" in seen.text


@pytest.mark.model
@pytest.mark.slow  # the way to compute vectors is found out first
def test_the_embedded_model_answers_from_an_attached_file(tmp_path: Path) -> None:
    import sys

    from tests.cli.terminals import Terminal

    (tmp_path / "handbook.md").write_text(
        "# Leave\n\nEmployees have thirty days of leave a year.\n\n# Phones\n\nThere are none.\n"
    )
    home = str(tmp_path / "home")
    seen = Terminal(
        [sys.executable, "-m", "localassist", "--home", home, "chat"],
        80,
        40,
        LOCALASSIST_MODELS__DEFAULT_CHAT="smollm2-135m-instruct",
        LOCALASSIST_ENGINE__TUNING_SECONDS="0",
    )
    try:
        seen.wait_for("Ctrl-D leaves")
        seen.type(f"/attach {tmp_path / 'handbook.md'}\r")
        seen.wait_for("to be searched")
        seen.type("How many days of leave do employees have?\r")
        seen.wait_for("thirty days of leave")
        seen.wait_for("[1] handbook.md")
        seen.type("/sources\r")
        seen.wait_for("score")
        seen.type(CTRL_D)
        assert seen.end() == 0
    finally:
        seen.process.close(force=True)
