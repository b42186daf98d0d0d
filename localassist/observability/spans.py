"""Measured work: a phase in the record of the run it is done for, and a span where traces are
wanted.

``measured`` and ``begin`` are for single pieces of work; ``span`` is for what contains others, and
is nothing but a part of traces. Knows nothing of OpenTelemetry: ``tracing`` installs itself here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, Protocol

from localassist.observability.timeline import Phase, Timeline

_timeline: ContextVar[Timeline | None] = ContextVar("timeline", default=None)
_tracer: Tracer | None = None


class Span(Protocol):
    """A span of a trace that has begun."""

    def note(self, **details: Any) -> None: ...

    def rename(self, name: str) -> None: ...

    def end(self) -> None: ...


class Tracer(Protocol):
    """Makes spans. ``parent`` is a ``traceparent`` of another process or of an earlier request;
    without one, what contains the span here."""

    def begin(self, name: str, details: dict[str, Any], within: Span | None) -> Span: ...

    def containing(
        self, name: str, details: dict[str, Any], parent: str | None
    ) -> AbstractContextManager[Span]: ...

    def past(self, name: str, details: dict[str, Any], parent: str, begun: float) -> None:
        """A span from ``begun`` (seconds since the epoch) that lasted ``details["ms"]``."""
        ...

    def traceparent(self) -> str | None:
        """The span that contains what is done now, as the header says it."""
        ...


def install(tracer: Tracer | None) -> None:
    """From now on spans are made by ``tracer``; None makes none."""
    global _tracer
    _tracer = tracer


def are_wanted() -> bool:
    """Whether anybody makes spans."""
    return _tracer is not None


class Measured:
    """Work that has begun."""

    def __init__(self, timeline: Timeline | None, phase: Phase | None, span: Span | None) -> None:
        self._timeline = timeline
        self._phase = phase
        self.span = span

    def note(self, **details: Any) -> None:
        """Say more of it, also when it is over."""
        if self._timeline is not None and self._phase is not None:
            self._timeline.note(self._phase, **details)
        if self.span is not None:
            self.span.note(**details)

    def end(self) -> None:
        """It is over, if it was not already."""
        if self._timeline is not None and self._phase is not None:
            self._timeline.end(self._phase)
        if self.span is not None:
            self.span.end()


@contextmanager
def bound(timeline: Timeline) -> Iterator[None]:
    """What is measured within, also by tasks that begin there, is done for this run."""
    token = _timeline.set(timeline)
    try:
        yield
    finally:
        _timeline.reset(token)


def begin(name: str, within: Measured | None = None, **details: Any) -> Measured:
    """Work that begins now; whoever begins it ends it. Also for generators, whose blocks may be
    left in another context than they were entered in."""
    timeline = _timeline.get()
    phase = None if timeline is None else timeline.begin(name, **details)
    return Measured(timeline, phase, _span(name, within, details))


def begin_group(name: str, **details: Any) -> Measured:
    """The same for a group of phases, which is itself none."""
    return Measured(None, None, _span(name, None, details))


@contextmanager
def measured(name: str, **details: Any) -> Iterator[Measured]:
    """A block of work."""
    work = begin(name, **details)
    try:
        yield work
    finally:
        work.end()


def span(
    name: str, *, parent: str | None = None, **details: Any
) -> AbstractContextManager[Span | None]:
    """What contains other spans; not for generators."""
    if _tracer is None:
        return nullcontext()
    return _tracer.containing(name, details, parent)


def past_waits(timeline: Timeline) -> None:
    """Spans of what a run has waited for until now; nobody was there to measure them."""
    if _tracer is None or timeline.traceparent is None:
        return
    for phase in timeline.waits():
        details = {**phase.details, "ms": phase.ms or 0.0}
        begun = timeline.at + phase.start_ms / 1000
        _tracer.past(phase.name, details, timeline.traceparent, begun)


def traceparent() -> str | None:
    """The span that contains what is done now, for going on with its trace later."""
    return None if _tracer is None else _tracer.traceparent()


def _span(name: str, within: Measured | None, details: dict[str, Any]) -> Span | None:
    if _tracer is None:
        return None
    return _tracer.begin(name, details, None if within is None else within.span)
