"""The loggers of this process, for tests that set them up as a server does."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from localassist.observability import logs

_NAMES = ("localassist", "localassist.engine.pool", logs.REQUESTS, "uvicorn", "asyncio")


@contextmanager
def loggers_put_back() -> Iterator[None]:
    """What ``logs.configure`` changes is as before afterwards."""
    loggers = [logging.getLogger(name) for name in _NAMES]
    before = [(one.level, one.propagate, list(one.handlers)) for one in loggers]
    try:
        yield
    finally:
        for one, (level, propagate, handlers) in zip(loggers, before, strict=True):
            one.setLevel(level)
            one.propagate, one.handlers = propagate, handlers
