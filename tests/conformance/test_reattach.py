"""A stream that was dropped: the run goes on, and its log can be read again from any position."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from localassist.engine import ScriptedEngine
from tests.conformance.conftest import Talk
from tests.conformance.test_streams import PLAIN
from tests.conformance.wire import Event, delta_text, raw_stream, short

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")

UseEngine = Callable[..., ScriptedEngine]
LONG = "one two three four five six seven eight nine ten " * 4


def drop_after(talk: Talk, deltas: int) -> list[Event]:
    """Read the beginning of a run's stream and hang up."""
    body = {"assistant_id": talk.assistant_id, "stream": True}
    seen: list[Event] = []
    stream = raw_stream(talk.client, "POST", f"/threads/{talk.thread_id}/runs", json=body)
    for event in stream:
        seen.append(event)
        deltas -= event.name == "thread.message.delta"
        if deltas == 0:
            break
    stream.close()  # type: ignore[attr-defined]
    return seen


def attach(talk: Talk, run_id: str, **options: object) -> list[Event]:
    path = f"/threads/{talk.thread_id}/runs/{run_id}/stream"
    return list(raw_stream(talk.client, "GET", path, **options))


def test_the_rest_follows_what_was_seen(talk: Talk, use_engine: UseEngine) -> None:
    engine = use_engine(LONG, delay_seconds=0.01)
    seen = drop_after(talk, deltas=3)
    run_id = seen[0].data["id"]
    position = str(len(seen) - 1)
    rest = attach(talk, run_id, headers={"Last-Event-ID": position})
    assert [event.seq for event in rest] == list(range(len(seen), len(seen) + len(rest)))
    assert short([e.name for e in seen] + [e.name for e in rest]) == PLAIN
    assert delta_text(seen) + delta_text(rest) == LONG == talk.texts()[-1]
    assert engine.counters.aborted == 0
    whole = attach(talk, run_id)
    assert [event.seq for event in whole] == list(range(len(whole)))
    assert [(e.name, e.data) for e in whole] == [(e.name, e.data) for e in [*seen, *rest]]
    assert attach(talk, run_id, params={"starting_after": position}) == rest


def test_a_run_goes_on_without_readers(talk: Talk, use_engine: UseEngine) -> None:
    engine = use_engine(LONG, delay_seconds=0.005)
    seen = drop_after(talk, deltas=1)
    run = talk.client.beta.threads.runs.poll(seen[0].data["id"], thread_id=talk.thread_id)
    assert run.status == "completed" and talk.texts()[-1] == LONG
    assert engine.counters.finished == 1


def test_two_readers_see_the_same(talk: Talk, use_engine: UseEngine) -> None:
    use_engine(LONG, delay_seconds=0.005)
    seen = drop_after(talk, deltas=1)
    path = f"/threads/{talk.thread_id}/runs/{seen[0].data['id']}/stream"
    first = raw_stream(talk.client, "GET", path)
    second = raw_stream(talk.client, "GET", path)
    pairs = list(zip(first, second, strict=True))
    assert all(one == other for one, other in pairs)
    assert pairs[-1][0].name == "thread.run.completed"
