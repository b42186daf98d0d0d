"""OpenTelemetry: spans of requests, runs, turns and engine requests, sent where an operator says.

The only module that knows the library, which is an extra; it is imported when an endpoint is set
and at no other time. Every span carries the ids that the log has.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from localassist.errors import ConfigError
from localassist.observability import logs, spans
from localassist.observability.config import TracingSettings

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

_PREFIX = "localassist."
# A server that stops waits so long for a collector that is not there.
_SEND_SECONDS = 3


@contextmanager
def exported(settings: TracingSettings) -> Iterator[None]:
    """Spans of what is done within go to the endpoint, if there is one; the last ones are sent on
    leaving. Raises ConfigError where the library is not installed."""
    if settings.endpoint is None:
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"Setting 'tracing.endpoint' needs the Python package {error.name}: "
            "pip install 'localassist[otel]'"
        ) from error
    exporter = OTLPSpanExporter(endpoint=settings.endpoint, timeout=_SEND_SECONDS)
    with installed(BatchSpanProcessor(exporter), settings.sample_ratio):
        yield


@contextmanager
def installed(processor: SpanProcessor, sample_ratio: float = 1.0) -> Iterator[None]:
    """Spans of what is done within go to ``processor``, which is shut down on leaving."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

    provider = TracerProvider(
        resource=Resource.create({"service.name": "localassist"}),
        sampler=ParentBasedTraceIdRatio(sample_ratio),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(processor)
    spans.install(OpenTelemetry(provider))
    try:
        yield
    finally:
        spans.install(None)
        provider.shutdown()


class _Span:
    """A span of the library behind the words of ours."""

    def __init__(self, span: trace.Span) -> None:
        self.span = span

    def note(self, **details: Any) -> None:
        if self.span.is_recording():
            self.span.set_attributes(_attributes(details))

    def rename(self, name: str) -> None:
        self.span.update_name(name)

    def end(self) -> None:
        if self.span.is_recording():
            self.span.end()


class OpenTelemetry:
    """The tracer behind ``spans``."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._api = trace
        self._tracer = provider.get_tracer("localassist")
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, name: str, details: dict[str, Any], within: spans.Span | None) -> _Span:
        context = None
        if isinstance(within, _Span):
            context = self._api.set_span_in_context(within.span)
        return _Span(self._tracer.start_span(name, context, attributes=_with_ids(details)))

    @contextmanager
    def containing(self, name: str, details: dict[str, Any], parent: str | None) -> Iterator[_Span]:
        context = None if parent is None else self._propagator.extract({"traceparent": parent})
        span = self._tracer.start_span(name, context, attributes=_with_ids(details))
        # What callers send may be quoted in an exception's text, so of one only its class is said.
        with self._api.use_span(
            span, end_on_exit=True, record_exception=False, set_status_on_exception=False
        ):
            try:
                yield _Span(span)
            except BaseException as error:
                span.set_attribute("error.type", type(error).__qualname__)
                raise

    def past(self, name: str, details: dict[str, Any], parent: str, begun: float) -> None:
        start_ns = int(begun * 1e9)
        span = self._tracer.start_span(
            name,
            self._propagator.extract({"traceparent": parent}),
            attributes=_with_ids(details),
            start_time=start_ns,
        )
        span.end(min(start_ns + int(details["ms"] * 1e6), max(start_ns, time.time_ns())))

    def traceparent(self) -> str | None:
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier.get("traceparent")


def _with_ids(details: dict[str, Any]) -> dict[str, Any]:
    return _attributes({**logs.bound_ids(), **details})


def _attributes(details: dict[str, Any]) -> dict[str, Any]:
    """Names with a dot are OpenTelemetry's own."""
    return {name if "." in name else f"{_PREFIX}{name}": value for name, value in details.items()}
