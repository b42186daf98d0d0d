from typing import Any

import pytest

from benchmarks.subjects.process import SubjectDied
from benchmarks.tools.accuracy import Asked, measured, rows_of
from benchmarks.tools.dataset import OWN_SET, Item, load
from benchmarks.tools.outcomes import Outcome, interval, judged, summary

ITEM = load(OWN_SET, "simple_python", 1)[0]
UNWANTED = load(OWN_SET, "irrelevance", 1)[0]
RIGHT = ["tides_lookup", '{"harbour": "Whitby", "date": "2025-03-14"}']
WRONG = ["tides_lookup", '{"harbour": "Dover", "date": "2025-03-14"}']
UNFIT = ["tides_lookup", '{"harbour": 5}']


def outcome(*calls: list[str], item: Item = ITEM, **more: Any) -> Outcome:
    return judged(item, "auto", {"calls": calls, "seconds": 2.0, "evaluated": 30, **more})


def test_a_call_is_judged_by_answer_and_by_schema() -> None:
    assert outcome(RIGHT).is_right and outcome(RIGHT).valid == (True,)
    assert outcome(WRONG).verdict == "value: harbour" and outcome(WRONG).valid == (True,)
    assert outcome(UNFIT).valid == (False,)
    assert outcome(["unknown", "{}"]).valid == (False,)
    assert outcome(["tides_lookup", "{"]).valid == (False,)


def test_an_error_is_no_rejection() -> None:
    assert outcome(item=UNWANTED).is_right
    assert not outcome(item=UNWANTED, error="it broke").is_right


def test_the_summary_counts_answers_calls_and_their_cost() -> None:
    row = summary([outcome(RIGHT, written=4), outcome(WRONG, UNFIT, written=6), outcome()])
    assert (row["items"], row["errors"]) == (3, 0)
    assert row["right %"] == pytest.approx(100 / 3)
    assert row["called %"] == row["valid %"] == pytest.approx(200 / 3)
    # Three calls in two answers; the question without one does not count.
    assert row["written"] == pytest.approx(10 / 3)
    assert row["tokens read"] == pytest.approx(50 / 3)
    assert row["s"] == pytest.approx(4 / 3)


def test_without_a_call_nothing_is_said_of_calls() -> None:
    row = summary([outcome()])
    assert row["valid %"] is None and row["s"] is None
    assert summary([outcome(item=UNWANTED)])["s"] == 2.0


def test_the_interval_holds_the_share_and_narrows_with_more_items() -> None:
    few, many = interval([True, True, False, False]), interval([True, False] * 200)
    assert few[0] <= 0.5 <= few[1] and many[0] <= 0.5 <= many[1]
    assert many[1] - many[0] == pytest.approx(2 * 1.96 * (0.25 / 400) ** 0.5, rel=0.15)
    assert interval([True] * 10) == (1.0, 1.0)


def test_the_ratio_is_to_the_peer() -> None:
    said = {
        "localassist": [outcome(RIGHT), outcome(RIGHT)],
        "llama-cpp-python": [outcome(RIGHT), outcome(WRONG)],
    }
    ours, theirs = rows_of("multiple", "auto", said)
    assert ours["/ peer"] == 2.0 and theirs["/ peer"] is None
    said["llama-cpp-python"] = [outcome(WRONG)]
    assert [row["/ peer"] for row in rows_of("multiple", "auto", said)] == [None, None]
    del said["llama-cpp-python"]
    assert [row["/ peer"] for row in rows_of("multiple", "auto", said)] == [None]


def test_targets_are_measured_with_auto_alone_but_validity_everywhere() -> None:
    found = measured(
        {
            ("simple_python", "auto"): [outcome(RIGHT), outcome()],
            ("simple_python", "required"): [outcome(UNFIT), outcome(RIGHT)],
            ("irrelevance", "auto"): [outcome(item=UNWANTED)],
        }
    )
    assert found["calls/simple_python"].median == found["calls/kept"].median == 0.5
    assert found["calls/irrelevance"].median == 1.0
    assert found["calls/valid"].median == pytest.approx(2 / 3)


def test_a_subject_that_ends_at_a_question_is_started_again() -> None:
    started = []

    class Frail:
        """Ends at the first question of its first life."""

        def ask(self, command: str, **_: Any) -> dict[str, Any]:
            if len(started) == 1:
                raise SubjectDied("call: exit code -11")
            return {"calls": [RIGHT]}

        def close(self) -> None: ...

    def start() -> Any:
        started.append(Frail())
        return started[-1]

    subject = Asked(start)
    first, second = subject.ask(ITEM, "auto"), subject.ask(ITEM, "auto")
    assert first.verdict == "error" and first.error is not None and "-11" in first.error
    assert second.is_right and len(started) == 2
