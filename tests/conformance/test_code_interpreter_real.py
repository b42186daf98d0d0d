"""Programs with the code interpreter, the embedded model and real kernels behind the client."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from localassist import LocalAssist
from localassist.settings import load_settings
from tests.conformance.conftest import begin
from tests.conformance.test_code_interpreter import ANSWERED, CODE, Watcher, message, steps
from tests.conformance.wire import check_every_answer, short

pytestmark = [
    pytest.mark.model,
    pytest.mark.sandbox,
    pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning"),
]
PLAYERS = "player,WAR\n" + "".join(
    f"Player {number},{(number * 37 % 100) / 10}\n" for number in range(60)
)


@pytest.fixture(scope="module")
def coding_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    home: Path = tmp_path_factory.mktemp("home")
    environ = {name: value for name, value in os.environ.items() if "SANDBOX" in name}
    settings = load_settings(home, environ=environ, engine={"tuning_seconds": 0})
    client = LocalAssist(settings=settings)
    check_every_answer(client)
    with client:
        yield client


def logs(step: Any) -> str:
    (call,) = step.step_details.tool_calls
    return "".join(one.logs for one in call.code_interpreter.outputs if one.type == "logs")


def test_a_data_visualizer(coding_client: openai.OpenAI) -> None:
    client = coding_client
    file = client.files.create(file=("baseball-data.csv", PLAYERS.encode()), purpose="assistants")
    talk = begin(
        client,
        "Visualize the distribution of WAR across players in the data set.",
        name="Data visualizer",
        instructions="You are great at creating beautiful data visualizations.",
        tools=[CODE],
        tool_resources={"code_interpreter": {"file_ids": [file.id]}},
    )
    handler = Watcher()
    with client.beta.threads.runs.stream(**talk.ids, event_handler=handler) as stream:
        run = stream.get_final_run()
        (said,) = stream.get_final_messages()
    assert run.status == "completed" and short(handler.events) == ANSWERED
    assert said == message(talk)
    image, text = said.content
    assert image.type == "image_file" and text.type == "text"
    picture = client.files.content(image.image_file.file_id).read()
    assert picture.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", picture[16:24])
    assert width > 300 and height > 200
    assert client.files.retrieve(image.image_file.file_id).purpose == "assistants_output"
    (made,) = steps(talk, run)[0].step_details.tool_calls
    assert "baseball-data.csv" in made.code_interpreter.input
    assert "WAR" in made.code_interpreter.input


def test_a_function_that_finds_primes(coding_client: openai.OpenAI) -> None:
    question = "Write a Python function to find prime numbers up to n."
    talk = begin(coding_client, question, tools=[CODE])
    run = coding_client.beta.threads.runs.create_and_poll(**talk.ids)
    assert run.status == "completed"
    assert "```python" in talk.texts()[-1] and "def " in talk.texts()[-1]
    assert "2" in logs(steps(talk, run)[-2]) and "Error" not in logs(steps(talk, run)[-2])


def test_variables_stay_from_run_to_run(coding_client: openai.OpenAI) -> None:
    talk = begin(coding_client, "x = 41", tools=[CODE])
    runs = coding_client.beta.threads.runs
    assert runs.create_and_poll(**talk.ids).status == "completed"
    talk.say("x + 1")
    run = runs.create_and_poll(**talk.ids)
    assert logs(steps(talk, run)[0]).strip() == "42"
    assert "42" in talk.texts()[-1]
    other = begin(coding_client, "x + 1", tools=[CODE])
    run = runs.create_and_poll(**other.ids)
    assert run.status == "completed" and "NameError" in logs(steps(other, run)[0])


def test_sums_are_computed(coding_client: openai.OpenAI) -> None:
    talk = begin(coding_client, "What is 123456 * 789?", tools=[CODE])
    run = coding_client.beta.threads.runs.create_and_poll(**talk.ids)
    assert run.status == "completed"
    assert str(123456 * 789) in talk.texts()[-1].replace(",", "")


def test_small_talk_needs_no_kernel(coding_client: openai.OpenAI) -> None:
    talk = begin(coding_client, "Hello, how are you?", tools=[CODE])
    run = coding_client.beta.threads.runs.create_and_poll(**talk.ids, max_completion_tokens=256)
    assert [step.type for step in steps(talk, run)] == ["message_creation"]
