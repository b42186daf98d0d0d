"""A run's time line in the terminal: a bar for each phase, all on one scale.

Draws records as ``observability.timeline`` keeps them. Colours say nothing that characters do not:
work is full, waiting is light, and what still lasts ends in an arrow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

_LABELS = {
    "queued": "queue",
    "model": "model",
    "embedding": "embed",
    "scoring": "decide",
    "prefill": "prefill",
    "decode": "decode",
    "files": "files",
    "file_search": "file search",
    "code_interpreter": "code",
    "functions": "functions",
    "interrupted": "interrupted",
}
_WAITS = frozenset(("queued", "functions", "files", "interrupted"))
_COLOURS = {
    "prefill": "cyan",
    "decode": "green",
    "embedding": "blue",
    "scoring": "blue",
    "model": "magenta",
    "file_search": "yellow",
    "code_interpreter": "yellow",
    "interrupted": "red",
}
_SIGNS = ("█", "░", "▶")
_ASCII_SIGNS = ("#", ".", ">")
_MOST_ROWS = 24
_LEAST_BAR, _MOST_BAR = 10, 80


@dataclass(frozen=True, slots=True)
class _Row:
    """A line: its stretches in milliseconds from the beginning, and what is said of them."""

    name: str
    stretches: tuple[tuple[float, float], ...]
    ms: float
    is_open: bool
    tokens: int = 0
    cached: int = 0
    calls: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return ", ".join(self.calls) or _LABELS.get(self.name, self.name)

    def joined(self, other: _Row) -> _Row:
        return replace(
            self,
            stretches=self.stretches + other.stretches,
            ms=self.ms + other.ms,
            is_open=self.is_open or other.is_open,
            tokens=self.tokens + other.tokens,
            cached=self.cached + other.cached,
            calls=(),
        )

    def said(self) -> str:
        """``43 tokens, 53.7/s``; empty for what has none."""
        if not self.tokens:
            return ""
        parts = [f"{self.tokens:,} tokens"]
        if self.cached:
            parts.append(f"{self.cached:,} cached")
        computed = self.tokens - self.cached
        if self.ms > 0 and computed > 0 and not self.is_open:
            speed = computed * 1000 / self.ms
            parts.append(f"{speed:,.0f}/s" if speed >= 100 else f"{speed:.1f}/s")
        return ", ".join(parts)


class TimeLine:
    """A record as lines. ``now_ms`` is where phases end that still last."""

    def __init__(self, record: Mapping[str, Any], now_ms: float) -> None:
        phases = record["phases"]
        rows = [_row(phase, now_ms) for phase in phases]
        self._rows = rows if len(rows) <= _MOST_ROWS else _lanes(rows)
        self._left_out = int(record.get("left_out", 0))
        ends = [end for row in rows for _, end in row.stretches]
        self._end_ms = max(ends, default=0.0) or 1.0

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        signs = _ASCII_SIGNS if options.ascii_only else _SIGNS
        label_width = min(max((cell_len(row.label) for row in self._rows), default=0), 16)
        times = [duration(row.ms) for row in self._rows]
        time_width = max(map(len, [*times, duration(self._end_ms)]), default=0)
        said_width = max((len(row.said()) for row in self._rows), default=0)
        fixed = label_width + time_width + 4
        # On a narrow terminal what is said of a phase stands below its bar.
        is_wide = width - fixed - said_width - 2 >= 2 * _LEAST_BAR
        room = width - fixed - (said_width + 2 if is_wide else 0)
        bar_width = max(_LEAST_BAR, min(room, _MOST_BAR))
        for row, time in zip(self._rows, times, strict=True):
            line = Text(no_wrap=True, overflow="crop")
            line.append(_fitted(row.label, label_width), "bold" if row.is_open else "")
            line.append("  ")
            line.append_text(self._bar(row, bar_width, signs))
            line.append(f"  {time:>{time_width}}")
            if row.said():
                line.append(f"  {row.said()}" if is_wide else f"\n  {row.said()}", "dim")
            yield line
        scale = Text(" " * (label_width + 2), "dim", no_wrap=True, overflow="crop")
        end = duration(self._end_ms)
        scale.append("0" + end.rjust(bar_width - 1))
        yield scale
        if self._left_out:
            yield Text(f"and {self._left_out:,} phases that were not kept", "dim")

    def _bar(self, row: _Row, width: int, signs: tuple[str, str, str]) -> Text:
        full, light, arrow = signs
        cells = [" "] * width
        for start, end in row.stretches:
            first = min(width - 1, int(start / self._end_ms * width))
            last = min(width - 1, max(first, round(end / self._end_ms * width) - 1))
            cells[first : last + 1] = (light if row.name in _WAITS else full) * (last + 1 - first)
            if row.is_open and end >= self._end_ms:
                cells[last] = arrow
        return Text("".join(cells), _COLOURS.get(row.name, ""))


def duration(ms: float) -> str:
    """``12 ms``, ``3.42 s``, ``2 min 05 s``, ``3 h 12 min``."""
    if ms < 999.5:
        return f"{ms:.0f} ms" if ms >= 9.95 or ms == 0 else f"{ms:.1f} ms"
    if ms < 59_995:
        return f"{ms / 1000:.2f} s"
    minutes, seconds = divmod(round(ms / 1000), 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02} s"
    return f"{minutes // 60:,} h {minutes % 60:02} min"


def _row(phase: Mapping[str, Any], now_ms: float) -> _Row:
    start, ms = float(phase["start_ms"]), phase["ms"]
    end = max(start, now_ms) if ms is None else start + ms
    return _Row(
        phase["name"],
        ((start, end),),
        end - start,
        is_open=ms is None,
        tokens=phase.get("tokens", 0),
        cached=phase.get("cached_tokens", 0),
        calls=tuple(phase.get("calls", ())),
    )


def _lanes(rows: Sequence[_Row]) -> list[_Row]:
    """One line for all phases of a kind."""
    lanes: dict[str, _Row] = {}
    for row in rows:
        lanes[row.name] = lanes[row.name].joined(row) if row.name in lanes else row
    return list(lanes.values())


def _fitted(label: str, width: int) -> str:
    short = label if cell_len(label) <= width else f"{label[: width - 2]}.."
    return short + " " * (width - cell_len(short))
