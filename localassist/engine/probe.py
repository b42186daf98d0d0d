"""Asks a child process what a model can do on this machine: do its repacked weights work, and how
long do passes take?

On some processors certain builds crash in the first pass over repacked weights (AMX tiles used
without their configuration). A crash cannot be caught, so a child process tries first. ``python -m
localassist.engine.probe`` is that child. Knows neither what was found before nor what follows
from it: that is ``tuning``'s business.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from localassist.child import Line, read_request, run_child, say
from localassist.engine.config import EngineSettings
from localassist.engine.machine import usable_cores
from localassist.engine.passes import CHUNK, SINGLE, Pass, measure

_log = logging.getLogger(__name__)
_OVERTIME = 2.0
# An exception of Python's, such as a missing adapter, and the signals by which people and systems
# end processes: Ctrl-C in a terminal reaches a child as well.
_NO_CRASH = {1, *(-getattr(signal, name, 0) for name in ("SIGHUP", "SIGINT", "SIGKILL", "SIGTERM"))}


@dataclass(frozen=True, slots=True)
class Findings:
    """``survived``: the model could be computed with. ``passes`` may be empty all the same.
    ``is_certain`` False: the child was stopped or refused its task, which says nothing."""

    survived: bool
    passes: tuple[Pass, ...] = ()
    is_certain: bool = True


def ask_child(
    path: Path,
    settings: EngineSettings,
    *,
    use_extra_buffers: bool,
    measuring_seconds: float,
    check: Callable[[], None] = lambda: None,
) -> Findings:
    """Load a model in a child and try it out. A crash at any point is a no, and so is a child that
    has computed nothing within ``settings.probe_seconds``. ``check`` is called meanwhile, and may
    raise to stop it."""
    request = {
        "path": str(path.resolve()),
        "settings": settings.model_dump(mode="json"),
        "use_extra_buffers": use_extra_buffers,
        "measuring_seconds": measuring_seconds,
    }
    timeout_seconds = settings.probe_seconds + _OVERTIME * measuring_seconds
    outcome = run_child(
        "localassist.engine.probe", request, timeout_seconds=timeout_seconds, check=check
    )
    survived = any(line.get("survived") for line in outcome.lines)
    if not survived and outcome.exit_code is None:
        _log.warning("the probe of %s took over %s s", path.name, timeout_seconds)
    is_certain = outcome.exit_code not in _NO_CRASH
    if outcome.exit_code not in (0, None):
        survived = False
        level = (
            logging.WARNING if is_certain else logging.INFO
        )  # what else failed is told elsewhere
        _log.log(level, "the probe of %s ended with exit code %s", path.name, outcome.exit_code)
    return Findings(survived, _passes(outcome.lines) if survived else (), is_certain)


def _passes(lines: tuple[Line, ...]) -> tuple[Pass, ...]:
    return tuple(Pass(**line) for line in lines if "rows" in line)


def main() -> None:
    """The child: one large and several small passes, then as many as the time allows."""
    from localassist.engine.llama.measure import Bench

    request = read_request()
    settings = EngineSettings.model_validate(request["settings"])
    bench = Bench(Path(request["path"]), settings, use_extra_buffers=request["use_extra_buffers"])
    for rows in (min(CHUNK, settings.batch_tokens), SINGLE, SINGLE):
        bench.time_pass(rows, 1)
    say({"survived": True})
    seconds = request["measuring_seconds"]
    if seconds > 0:
        _end_after(_OVERTIME * seconds)
        for reading in measure(
            bench.time_pass,
            cores=usable_cores(),
            batch_tokens=settings.batch_tokens,
            seconds=seconds,
            clock=time.monotonic,
        ):
            say(asdict(reading))
    bench.close()


def _end_after(seconds: float) -> None:
    """Where other programs take the cores, one pass on several threads may take a minute: they wait
    for each other at every operation. What has been said by then is enough to avoid it."""
    timer = threading.Timer(seconds, os._exit, [0])
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    main()
