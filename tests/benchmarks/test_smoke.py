"""Every benchmark runs at its smallest size and reports what it was asked for."""

import math
from pathlib import Path
from typing import Any

import pytest

from benchmarks import common
from tests.benchmarks.reports import smoke_report

FOLDER = Path(common.__file__).parent
SCRIPTS = sorted(
    f"{path.parent.name}.{path.stem}"
    for area in ("engine", "retrieval", "server", "tools")
    for path in (FOLDER / area).glob("*.py")
    if "def main()" in path.read_text("utf-8")
)
pytestmark = [pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(240)]


def report_of(module: str) -> dict[str, Any]:
    """Of a benchmark that runs a model."""
    report = smoke_report(module)
    assert "CPU" in report["environment"]["llama_build"]
    return report


def by_subject(report: dict[str, Any], **wanted: Any) -> dict[str, dict[str, Any]]:
    """The rows in which these columns have these values."""
    rows = [row for row in report["rows"] if wanted.items() <= row.items()]
    return {row["subject"]: row for row in rows}


def finite(value: Any) -> bool:
    """No number in it is infinite or missing."""
    if isinstance(value, dict):
        return all(finite(part) for part in value.values())
    return not isinstance(value, float) or math.isfinite(value)


def test_engine_attention() -> None:
    rows = report_of("engine.attention")["rows"]
    assert [row["rows in the step"] for row in rows] == [1, 8]
    assert all(row["with / without"] > 0 for row in rows)


def test_engine_bare_loop() -> None:
    rows = report_of("engine.bare_loop")["rows"]
    assert len(rows) == 9 and all(row["tok/s"]["median"] > 0 for row in rows)


def test_engine_constrained_answers_obey_and_are_compared() -> None:
    report = report_of("engine.constrained")
    assert report["measured"]["constrained"]["median"] > 0
    assert all(row["tokens"] > 10 for row in report["rows"])


def test_engine_followup_reads_only_what_is_new() -> None:
    first, second = report_of("engine.followup")["rows"]
    assert second["prompt from cache, median"] > max(first["prompt from cache, median"], 0.5)


def test_engine_memory() -> None:
    report = report_of("engine.memory")
    engine, server = report["rows"]
    assert engine["MB"] > 100 and server["MB"] > 100
    assert engine["tokens of its own"] > 0


def test_engine_restart_is_warm_from_the_disk() -> None:
    warm, again, cold, _ = report_of("engine.restart")["rows"]
    assert again["prompt from cache"] > 0.5 and warm["prompt from cache"] > 0.5
    assert cold["prompt from cache"] < 0.5


def test_engine_speculation_does_not_change_a_quotation() -> None:
    report = report_of("engine.speculation")
    assert [row["answer"] for row in report["rows"]] == ["quotes", "quotes", "story", "story"]
    assert report["measured"]["guessing/same"]["median"] == 1.0


def test_engine_throughput() -> None:
    rows = report_of("engine.throughput")["rows"]
    assert [(row["streams"], row["chosen"]) for row in rows] == [
        (streams, way) for streams in (1, 4) for way in ("greedy", "sampled")
    ]
    assert finite(rows)


def test_retrieval_answers_quote_the_right_document() -> None:
    report = report_of("retrieval.answers")
    first, free = report["rows"]
    assert (first["quoting"], free["quoting"]) == ("first", "free")
    assert first["verbatim %"] == 100 and first["right document cited %"] == 100
    assert report["data"] == "own set" and report["documents"] == 10


def test_server_followup_reads_only_what_is_new_also_after_a_restart() -> None:
    report = report_of("server.followup")
    first, second, restarted = (
        by_subject(report, turn=turn)["localassist"]["prompt from cache"]
        for turn in (1, 2, "after a restart")
    )
    assert second > max(first, 0.5) and restarted > 0.5


def test_server_interference() -> None:
    (row,) = report_of("server.interference")["rows"]
    assert row["p95 / quiet"]["median"] > 0 and row["prompt tokens"] > 200


def test_server_latency() -> None:
    subjects = by_subject(report_of("server.latency"))
    assert set(subjects) == {"localassist", "localassist, a run", "bare"}
    assert all(row["first token s"]["median"] > 0 for row in subjects.values())


def test_server_run_overhead() -> None:
    report = report_of("server.run_overhead")
    assert report["rows"][0]["median ms"] > 0
    assert finite(report["rows"]) and set(report["measured"]) == {"overhead/ms", "overhead/share"}


def test_server_single() -> None:
    report = report_of("server.single")
    assert set(by_subject(report)) == {"localassist", "embedded engine", "bare steps"}
    assert report["measured"]["single/in process"]["median"] > 0


def test_server_throughput() -> None:
    report = report_of("server.throughput")
    subjects = by_subject(report, streams=4, chosen="sampled")
    assert set(subjects) == {"localassist", "bare steps", "bare, prompts too"}
    assert report["peak_memory_mb"]["localassist"] > 100


def test_tools_schemas_judge_every_value_rightly() -> None:
    report = report_of("tools.schemas")
    (whole,) = [row for row in report["rows"] if row["category"] == "all"]
    assert whole["schemas"] > 5 and whole["compiles"] == whole["perfect"]
    assert report["measured"]["perfect/localassist"] > 0.8


def test_tools_accuracy() -> None:
    report = report_of("tools.accuracy")
    asked = [(row["category"], row["choice"]) for row in report["rows"]]
    assert ("parallel", "required") in asked and ("irrelevance", "auto") in asked
    assert all(row["errors"] == 0 and row["items"] == 2 for row in report["rows"])
    assert all(row["valid %"] in (None, 100) for row in report["rows"])
    assert report["data"] == "own set" and report["measured"] == {}


def test_tools_cell_masks() -> None:
    rows = {row["of"]: row for row in report_of("tools.cell_masks")["rows"]}
    assert rows["compile"]["p50 µs"] > 0 and rows["mask, worked examples"]["samples"] > 100


def test_tools_coding() -> None:
    rows = report_of("tools.coding")["rows"]
    assert {row["subject"] for row in rows} == {"worked forms", "model alone"}
    assert all(row["decided %"] == 100 for row in rows)


def test_tools_compile_time() -> None:
    rows = {row["stage"]: row for row in report_of("tools.compile_time")["rows"]}
    assert len(rows) == 5 and all(0 < row["p50 ms"] <= row["p99 ms"] for row in rows.values())
    # At least the name of a call is forced, token by token.
    assert rows["mask of a token"]["samples"] > 10 * rows["compile, first"]["samples"]


def test_retrieval_ingest() -> None:
    report = report_of("retrieval.ingest")
    ours, windows, units = report["rows"]
    assert (
        ours["subject"] == "localassist" and ours["chunks"] == units["chunks"] > windows["chunks"]
    )
    assert finite(report["rows"]) and all(row["peak MB"] > 100 for row in report["rows"])


def test_retrieval_search_latency() -> None:
    report = report_of("retrieval.search_latency")
    rows = report["rows"]
    subjects = {row["subject"] for row in rows}
    assert subjects == {"hybrid", "exact scan alone", "tantivy alone", "chroma alone"}
    assert finite(rows) and all(0 < row["p50 ms"] <= row["p99 ms"] for row in rows)
    assert report["goal"]["units"] == max(row["units"] for row in rows)


def test_server_load_is_carried_without_errors() -> None:
    for crowd in report_of("server.load")["measured"].values():
        assert crowd["errors"] == {} and set(crowd["runs"]) == {"completed"}
        assert finite(crowd) and crowd["without a model p99 ms"] > 0


def test_every_script_has_a_test() -> None:
    tested = " ".join(name for name in globals() if name.startswith("test_"))
    assert all(script.replace(".", "_") in tested for script in SCRIPTS)
