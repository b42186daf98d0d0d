"""The server is killed at random moments of a streamed run, and its successor puts things right.

Nothing that a client was told may be lost or said twice, and no run may stay unfinished.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import openai
import pytest

from localassist.client.transport import http
from tests.conformance.conftest import WEATHER
from tests.conformance.serving import Server, serve
from tests.conformance.slow_server import ANSWER, WEATHER_REPORT
from tests.conformance.test_streams import HEAD, OPENING, PLAIN
from tests.conformance.wire import Event, check_every_answer, delta_text, raw_stream, short

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")

Start = Callable[[], Server]
CUT = [*HEAD, *OPENING, "M.delta", "M.incomplete", "S.completed", "R.incomplete"]
SCRIPT = str(Path(__file__).with_name("slow_server.py"))
PIECE_SECONDS = 0.01
REAL_SECONDS = 45  # to load the model and write 256 tokens on a busy machine
ANSWER_SECONDS = len(ANSWER) / 4 * PIECE_SECONDS


@dataclass
class Lives:
    """A data folder and the server that works on it at the moment."""

    start: Start
    server: Server = field(init=False)
    client: openai.OpenAI = field(init=False)
    ready_at: float = field(init=False)
    _clients: list[openai.OpenAI] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._begin()

    def kill_and_restart(self) -> None:
        # The client stays open: other threads find out by themselves that its server has died.
        self.server.kill()
        self._begin()

    def _begin(self) -> None:
        self.server = self.start()
        self.ready_at = time.monotonic()
        self.client = self.server.client()
        self._clients.append(self.client)
        check_every_answer(self.client)

    def end(self) -> None:
        for client in self._clients:
            client.close()
        self.server.kill()


@pytest.fixture
def lives() -> Iterator[Callable[[Start], Lives]]:
    begun: list[Lives] = []

    def begin(start: Start) -> Lives:
        begun.append(Lives(start))
        return begun[-1]

    yield begin
    for each in begun:
        each.end()


def scripted_server(home: Path) -> Server:
    return Server(SCRIPT, str(home), str(PIECE_SECONDS))


@dataclass
class Witness:
    """What one client has been told in a round, up to the moment its server died."""

    client: openai.OpenAI
    assistant_id: str
    thread_id: str
    diary_id: str
    events: list[Event] = field(default_factory=list)
    entries: list[str] = field(default_factory=list)

    def watch(self, **body: Any) -> None:
        """Start a run and follow it."""
        body |= {"assistant_id": self.assistant_id, "stream": True}
        path = f"/threads/{self.thread_id}/runs"
        with suppress(http.TransportError):
            for event in raw_stream(self.client, "POST", path, json=body):
                self.events.append(event)

    def write_diary(self) -> None:
        """Add messages to another thread as fast as they are acknowledged."""
        messages = self.client.beta.threads.messages
        with suppress(openai.APIConnectionError):
            while True:
                entry = f"entry {len(self.entries)}"
                messages.create(self.diary_id, role="user", content=entry)
                self.entries.append(entry)


def witness(client: openai.OpenAI, **assistant: Any) -> Witness:
    made = client.beta.assistants.create(model="gpt-4o", **assistant)
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "Tell me a story."}])
    return Witness(client, made.id, thread.id, client.beta.threads.create().id)


@dataclass(frozen=True)
class Outcome:
    """How a run ended, what it said, and the seconds that took from the last restart on."""

    status: str
    text: str = ""
    seconds: float = 0.0


def kill_round(lives: Lives, moments: list[float], **body: Any) -> Outcome:
    """One run through as many deaths as there are moments, then all that must hold."""
    seen = witness(lives.client)
    with ThreadPoolExecutor(2) as pool:
        told = [pool.submit(partial(seen.watch, **body)), pool.submit(seen.write_diary)]
        time.sleep(moments[0])
        lives.kill_and_restart()
        for done in told:
            done.result(10)
    for moment in moments[1:]:
        time.sleep(moment)
        lives.kill_and_restart()
    check_diary(lives.client, seen)
    runs = lives.client.beta.threads.runs.list(seen.thread_id).data
    if not runs:
        assert seen.events == [], "a run that was acknowledged is gone"
        lives.client.beta.threads.messages.create(seen.thread_id, role="user", content="Well?")
        return Outcome("never begun")
    (run,) = runs
    log = list(raw_stream(lives.client, "GET", f"/threads/{seen.thread_id}/runs/{run.id}/stream"))
    seconds = time.monotonic() - lives.ready_at
    check_run(lives.client, seen, log)
    return Outcome(log[-1].data["status"], delta_text(log), seconds)


def check_diary(client: openai.OpenAI, seen: Witness) -> None:
    """All that was acknowledged is there once, and at most the request that was on its way."""
    page = client.beta.threads.messages.list(seen.diary_id, order="asc", limit=100)
    found = [message.content[0].text.value for message in page]  # type: ignore[union-attr]
    assert found[: len(seen.entries)] == seen.entries
    assert found[len(seen.entries) :] in ([], [f"entry {len(seen.entries)}"])


def check_run(client: openai.OpenAI, seen: Witness, log: list[Event]) -> None:
    """Log, run, steps and messages tell the same story, of which the client saw the beginning."""
    assert [event.seq for event in log] == list(range(len(log)))
    told = [(event.name, event.data) for event in seen.events]
    assert [(event.name, event.data) for event in log[: len(told)]] == told
    assert short(event.name for event in log) in (PLAIN, CUT)
    run = log[-1].data
    polled = client.beta.threads.runs.retrieve(run["id"], thread_id=seen.thread_id)
    assert polled.to_dict() == run
    (step,) = client.beta.threads.runs.steps.list(run["id"], thread_id=seen.thread_id).data
    assert step.status == "completed"
    answer, question = client.beta.threads.messages.list(seen.thread_id).data
    assert (question.role, answer.role, answer.run_id) == ("user", "assistant", run["id"])
    assert answer.content[0].text.value == delta_text(log)  # type: ignore[union-attr]
    assert answer.status == run["status"]
    is_cut = answer.status == "incomplete"
    assert (answer.incomplete_details is not None) == is_cut
    client.beta.threads.messages.create(seen.thread_id, role="user", content="And then?")


def test_a_scripted_run_survives(lives: Callable[[Start], Lives], tmp_path: Path) -> None:
    life = lives(partial(scripted_server, tmp_path / "killed"))
    luck = random.Random(20)
    for number in range(6):
        deaths = 1 + (number % 3 == 2)
        moments = [luck.uniform(0, 1.1 * ANSWER_SECONDS) for _ in range(deaths)]
        outcome = kill_round(life, moments)
        assert (outcome.status, outcome.text) in (("completed", ANSWER), ("never begun", ""))
        assert outcome.seconds < ANSWER_SECONDS + 5


@pytest.mark.model
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_a_real_run_survives(lives: Callable[[Start], Lives], tmp_path: Path, rounds: int) -> None:
    life = lives(partial(serve, tmp_path / "killed"))
    luck = random.Random(rounds)
    for _ in range(rounds):
        moment = luck.uniform(0.5, 5)
        outcome = kill_round(life, [moment], max_completion_tokens=256)
        print(f"killed after {moment:.2f} s: {outcome.status} after {outcome.seconds:.2f} s more")
        assert outcome.status in ("completed", "incomplete", "never begun")
        assert outcome.seconds < REAL_SECONDS


def test_a_run_that_waits_for_outputs_still_waits(
    lives: Callable[[Start], Lives], tmp_path: Path
) -> None:
    life = lives(partial(scripted_server, tmp_path / "killed"))
    seen = witness(life.client, tools=[WEATHER], instructions="Look at the weather first.")
    ids = {"thread_id": seen.thread_id, "assistant_id": seen.assistant_id}
    run = life.client.beta.threads.runs.create_and_poll(**ids)
    assert run.status == "requires_action" and run.required_action is not None
    life.kill_and_restart()
    assert life.client.beta.threads.runs.retrieve(run.id, thread_id=seen.thread_id) == run
    (asked,) = run.required_action.submit_tool_outputs.tool_calls
    runs = life.client.beta.threads.runs
    answer: Any = [{"tool_call_id": asked.id, "output": WEATHER_REPORT}]
    runs.submit_tool_outputs(run.id, thread_id=seen.thread_id, tool_outputs=answer)
    time.sleep(ANSWER_SECONDS / 2)
    life.kill_and_restart()
    runs = life.client.beta.threads.runs
    done = runs.poll(run.id, thread_id=seen.thread_id)
    assert done.status == "completed"
    steps = runs.steps.list(run.id, thread_id=seen.thread_id, order="asc").data
    assert [step.type for step in steps] == ["tool_calls", "message_creation"]
    (message,) = life.client.beta.threads.messages.list(seen.thread_id, run_id=run.id).data
    assert message.content[0].text.value == ANSWER  # type: ignore[union-attr]
