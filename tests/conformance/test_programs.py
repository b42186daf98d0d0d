"""Programs as users write them, run unchanged against ``localassist serve``.

They know nothing of this project: the environment points them at it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.serving import ROOT, Server, clean_environ

pytestmark = pytest.mark.model

PROGRAMS = Path(__file__).parent / "programs"
SECONDS = 90
NODE_FOLDER = ROOT / ".venv" / "node"
NODE_CLIENT = "openai@6.49.0"


def run_program(server: Server, *command: str, stdin: str = "") -> str:
    """What the program prints; fails unless it ends well."""
    environ = clean_environ() | {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "sk-local"}
    result = subprocess.run(
        command, env=environ, input=stdin, capture_output=True, text=True, timeout=SECONDS
    )
    assert result.returncode == 0, result.stderr + result.stdout
    return result.stdout


def run_python(server: Server, name: str, *arguments: str) -> str:
    return run_program(server, sys.executable, str(PROGRAMS / name), *arguments)


def test_basic_polling(real_server: Server) -> None:
    output = run_python(real_server, "basic_polling.py")
    lines = output.splitlines()
    assert lines[0] == "status: completed" and lines[1].startswith("assistant: ")
    assert "user: What is a list comprehension?" in lines
    assert lines[-2] == "step: message_creation completed"
    assert int(lines[-1].removeprefix("tokens: ")) > 20


def test_a_name_is_remembered(real_server: Server) -> None:
    output = run_python(real_server, "conversation_memory.py")
    assert "Marta" in output.split("you: What was my name again?")[1]


def test_a_streamed_answer_is_the_stored_one(real_server: Server) -> None:
    output = run_python(real_server, "streaming_handler.py")
    streamed, _, stored = output.partition("stored: ")
    assert streamed.removeprefix("assistant > ").strip() == stored.strip() != ""


def test_the_weather_function_is_called(real_server: Server) -> None:
    lines = run_python(real_server, "function_weather.py").splitlines()
    called = [json.loads(line[8:]) for line in lines if line.startswith("called: ")]
    assert len(called) == 1 and "lisbon" in called[0]["location"].lower()
    assert "status: completed" in lines and lines[-1]


def test_a_conversation_goes_on_in_another_process(real_server: Server, tmp_path: Path) -> None:
    state, program = str(tmp_path / "state.json"), "persistent_conversation.py"
    first = run_python(real_server, program, state, "Today I planted a cherry tree.")
    assert first.startswith("a new conversation\nstatus: completed\nuser: Today I planted")
    second = run_python(real_server, program, state, "Which tree did I plant?")
    assert second.startswith("status: completed\nuser: Today I planted a cherry tree.\nassistant: ")
    assert "\nuser: Which tree did I plant?\nassistant: " in second
    first_tokens, second_tokens = (
        int(output.rsplit("prompt tokens: ", 1)[1]) for output in (first, second)
    )
    assert second_tokens > first_tokens + 20  # the model was shown what was said before


@pytest.fixture(scope="session")
def node_program() -> list[str]:
    """A command that runs a program with the npm client, which is fetched once and kept."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("needs Node.js with npm")
    if not (NODE_FOLDER / "node_modules" / "openai").exists():
        subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--prefix", str(NODE_FOLDER), NODE_CLIENT],
            check=True,
            timeout=SECONDS,
        )
    # Modules are looked for from the program's own folder upwards.
    program = NODE_FOLDER / "cli_loop.mjs"
    shutil.copyfile(PROGRAMS / "cli_loop.mjs", program)
    return [node, str(program)]


def test_a_command_line_loop_with_the_npm_client(
    real_server: Server, node_program: list[str]
) -> None:
    questions = "Please count how much water is on board.\nThank you.\nexit\n"
    lines = run_program(real_server, *node_program, stdin=questions).splitlines()
    (called,) = [line for line in lines if line.startswith("called: ")]
    assert "water" in called
    answers = [line for line in lines if line.startswith("assistant: ")]
    assert len(answers) == 2 and all(line != "assistant: " for line in answers)
    assert lines[-2:] == ["streamed: completed thread.run.completed true", "deleted: true"]
