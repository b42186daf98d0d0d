"""The log: who is being served when something is said, and how it is written down.

Ids are bound to the work they belong to, and every line that is said meanwhile carries them,
however deep in the code. Messages may quote what callers have sent, so control characters are
spelled out: a line is always one line.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO

from localassist.observability.config import LoggingSettings

_NONE: Mapping[str, str] = {}
_ROOT = "localassist"
_MODELS = "localassist.engine.pool"
# Libraries that say by themselves what becomes of connections and tasks.
_OTHERS = ("uvicorn", "asyncio")
REQUESTS = "localassist.requests"
"""The logger of one line for every request."""

_bound: ContextVar[Mapping[str, str]] = ContextVar("ids_of_the_log", default=_NONE)
_FIELDS = "fields"


@contextmanager
def bound(**ids: str) -> Iterator[None]:
    """What is said within, also by tasks that begin there, carries these ids."""
    token = _bound.set({**_bound.get(), **ids})
    try:
        yield
    finally:
        _bound.reset(token)


def bound_ids() -> Mapping[str, str]:
    """The ids of what is being worked on."""
    return _bound.get()


def fields(**values: object) -> dict[str, dict[str, object]]:
    """``extra`` of a log call: further fields of its line."""
    return {_FIELDS: values}


def configure(settings: LoggingSettings, stream: TextIO | None = None) -> None:
    """Write the log of this process to ``stream``, standard error unless given; in place of what an
    earlier call has set up."""
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(JsonLines() if settings.format == "json" else TextLines())
    level = settings.level.upper()
    for name in (_ROOT, *_OTHERS):
        log = logging.getLogger(name)
        for earlier in list(log.handlers):
            log.removeHandler(earlier)
        log.addHandler(handler)
        log.propagate = False
        log.setLevel(level)
    log = logging.getLogger(_ROOT)
    logging.getLogger(_MODELS).setLevel(min(logging.INFO, log.level))
    logging.getLogger(REQUESTS).setLevel(logging.INFO if settings.requests else logging.CRITICAL)


class TextLines(logging.Formatter):
    """``12:34:56 warning runs.loop: run run_x failed  run_id=run_x``; UTC. A traceback follows on
    lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%H:%M:%S", time.gmtime(record.created))
        name = record.name.removeprefix(f"{_ROOT}.")
        said = _spelled(record.getMessage())
        ids = "".join(f"  {key}={_spelled(str(value))}" for key, value in _extra(record).items())
        line = f"{at} {record.levelname.lower()} {name}: {said}{ids}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class JsonLines(logging.Formatter):
    """One JSON object a line: ``time`` (ISO 8601, UTC), ``level``, ``logger``, ``message``, ids and
    fields, ``exception`` with the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, object] = {
            "time": f"{at}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        # ASCII: no terminal and no collector is steered by what a caller has sent.
        return json.dumps(line, default=str)


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {**_bound.get(), **getattr(record, _FIELDS, {})}


def _spelled(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
