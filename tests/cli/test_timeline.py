from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from localassist.cli.timeline import TimeLine, duration

RECORD: dict[str, Any] = {
    "at": 0.0,
    "phases": [
        {"name": "queued", "start_ms": 0.0, "ms": 100.0},
        {"name": "prefill", "start_ms": 100.0, "ms": 400.0, "tokens": 220, "cached_tokens": 20},
        {"name": "decode", "start_ms": 500.0, "ms": 500.0, "tokens": 20},
        {"name": "functions", "start_ms": 1000.0, "ms": None, "calls": ["get_weather"]},
    ],
}


def drawn(record: dict[str, Any], width: int, encoding: str = "utf-8") -> list[str]:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(file=out, width=width, color_system=None).print(TimeLine(record, 2000.0))
    out.flush()
    return out.buffer.getvalue().decode(encoding).splitlines()  # type: ignore[attr-defined]


def test_bars_are_on_one_scale() -> None:
    queue, prefill, decode, functions, scale = drawn(RECORD, 100)
    start = scale.index("0")
    bars = [line[start : len(scale)] for line in (queue, prefill, decode, functions)]
    width = len(bars[0])
    assert bars[0].rstrip() == "░" * round(width / 20)
    assert bars[2].strip() == "█" * bars[2].count("█") and bars[3].strip()[-1] == "▶"
    ends = [len(bar.rstrip()) for bar in bars]
    assert ends == sorted(ends) and ends[-1] == width
    assert abs(ends[1] - width / 4) <= 1 and abs(ends[2] - width / 2) <= 1
    assert "400 ms  220 tokens, 20 cached, 500/s" in prefill
    assert "500 ms  20 tokens, 40.0/s" in decode
    assert functions.startswith("get_weather") and "1.00 s" in functions
    assert scale.endswith("2.00 s")


@pytest.mark.parametrize("width", [30, 40, 60, 80, 200])
def test_it_fits_the_terminal(width: int) -> None:
    lines = drawn(RECORD, width)
    assert max(map(len, lines)) <= width
    assert any("220 tokens" in line for line in lines)
    assert sum("█" in line or "░" in line or "▶" in line for line in lines) == 4


def test_a_terminal_without_such_characters_gets_others() -> None:
    lines = drawn(RECORD, 80, "ascii")
    assert lines[0].split()[1] == "." and "###" in lines[1] and ">" in lines[3]


def test_many_phases_are_one_line_for_each_kind() -> None:
    pair = RECORD["phases"][1:3]
    phases = [
        {**phase, "start_ms": number * 1000.0 + phase["start_ms"]}
        for number in range(40)
        for phase in pair
    ]
    prefill, decode, scale, left_out = drawn({"phases": phases, "left_out": 3}, 100)
    assert "8,800 tokens, 800 cached, 500/s" in prefill and "16.00 s" in prefill
    assert "800 tokens, 40.0/s" in decode and "20.00 s" in decode
    assert left_out == "and 3 phases that were not kept"


def test_a_run_that_has_just_been_stored_has_a_line() -> None:
    record = {"phases": [{"name": "queued", "start_ms": 0.0, "ms": 0.0}]}
    assert drawn(record, 80)[0].startswith("queue")


@pytest.mark.parametrize(
    ("ms", "shown"),
    [
        (0, "0 ms"),
        (0.34, "0.3 ms"),
        (12.4, "12 ms"),
        (999.6, "1.00 s"),
        (3_421, "3.42 s"),
        (59_996, "1 min 00 s"),
        (125_000, "2 min 05 s"),
        (11_520_000, "3 h 12 min"),
    ],
)
def test_durations_are_read_at_a_glance(ms: float, shown: str) -> None:
    assert duration(ms) == shown
