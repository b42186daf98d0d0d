"""What this process has seen of runs, for the metrics."""

from __future__ import annotations

from collections import Counter

from localassist.runs import state
from localassist.services.histogram import Histogram

_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)


def _histogram() -> Histogram:
    return Histogram(_SECONDS)


class RunCounters:
    """``run_seconds``, since a run was stored, by the status it has ended with;
    ``first_text_seconds``, from there to the first text of its answers; ``queue_seconds``, how long
    it waited for a worker, each time; ``tool_calls`` by kind: ``function``, ``file_search`` or
    ``code_interpreter``; ``running``, the runs that are being worked now."""

    def __init__(self) -> None:
        self.run_seconds = {status: _histogram() for status in sorted(state.TERMINAL)}
        self.first_text_seconds = _histogram()
        self.queue_seconds = _histogram()
        self.tool_calls: Counter[str] = Counter()
        self.running = 0
