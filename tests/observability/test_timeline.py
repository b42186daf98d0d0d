from __future__ import annotations

import pytest

from localassist.observability import spans, timeline
from localassist.observability.timeline import MOST_PHASES, Timeline


def shape(record: timeline.Record | None) -> list[tuple[str, bool]]:
    """Names of the phases, and whether each has ended."""
    assert record is not None
    return [(phase["name"], phase["ms"] is not None) for phase in record["phases"]]


def test_waiting_begins_and_ends_with_the_status() -> None:
    record = timeline.begun()
    assert shape(record) == [("queued", False)]
    started = timeline.moved(record, "in_progress")
    assert shape(started) == [("queued", True)]
    asked = timeline.moved(started, "requires_action", calls=["f"])
    assert shape(asked) == [("queued", True), ("functions", False)]
    assert asked is not None and asked["phases"][1]["calls"] == ["f"]
    assert shape(timeline.moved(asked, "cancelling")) == shape(asked)
    again = timeline.moved(asked, "queued")
    assert shape(again) == [("queued", True), ("functions", True), ("queued", False)]
    assert shape(timeline.moved(again, "expired"))[-1] == ("queued", True)


def test_runs_of_earlier_releases_have_no_record() -> None:
    assert timeline.moved(None, "completed") is None
    assert timeline.taken_over(None) is None


def test_what_a_dead_worker_did_counts_up_to_what_it_had_noted() -> None:
    record = {
        "at": 1_000_000.0,
        "phases": [
            {"name": "queued", "start_ms": 0.0, "ms": 5.0},
            {"name": "prefill", "start_ms": 6.0, "ms": 100.0, "tokens": 9},
            {"name": "decode", "start_ms": 106.0, "ms": None},
        ],
    }
    taken = timeline.taken_over(record)
    assert taken is not None
    assert shape(taken)[2:] == [("decode", True), ("interrupted", True)]
    assert taken["phases"][1]["tokens"] == 9
    assert taken["phases"][3]["start_ms"] == 106.0 and taken["phases"][3]["ms"] > 0


def test_a_clock_that_goes_back_makes_no_time_negative(monkeypatch: pytest.MonkeyPatch) -> None:
    record = timeline.moved(timeline.begun(), "in_progress")
    assert record is not None
    record["phases"][0]["ms"] = 5000.0
    monkeypatch.setattr("time.time", lambda: record["at"] - 3600)
    resumed = Timeline(record)
    phase = resumed.begin("prefill")
    resumed.end(phase)
    assert phase.start_ms >= 5000 and phase.ms is not None and phase.ms >= 0


def test_scores_that_follow_each_other_are_one_phase() -> None:
    kept = Timeline()
    for start in (0.0, 10.0, 15.0, 90.0):  # the third within the second, the fourth far behind
        phase = kept.begin("scoring", tokens=3)
        phase.start_ms, phase.ms = start, 10.0
    (first, last) = kept.dump()["phases"]
    assert (first["start_ms"], first["ms"], first["tokens"]) == (0.0, 25.0, 9)
    assert (last["start_ms"], last["ms"], last["tokens"]) == (90.0, 10.0, 3)


def test_a_record_stays_small() -> None:
    kept = Timeline(timeline.begun())
    with spans.bound(kept):
        for _ in range(MOST_PHASES + 10):
            with spans.measured("decode"):
                pass
    record = kept.dump()
    assert len(record["phases"]) == MOST_PHASES and record["left_out"] == 11
    asked = timeline.moved(record, "requires_action")
    assert asked is not None and asked["left_out"] == 11
    assert shape(asked)[-1] == ("functions", False)


def test_a_block_that_fails_has_ended_all_the_same() -> None:
    kept = Timeline()
    with spans.bound(kept), pytest.raises(ValueError), spans.measured("file_search"):
        raise ValueError
    assert shape(kept.dump()) == [("file_search", True)]
    before = kept.version
    with spans.measured("file_search"):
        pass  # for no run
    assert kept.version == before
