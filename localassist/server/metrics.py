"""What Prometheus reads: counters of requests, runs, models, engines, documents and kernels,
collected when asked.

Every number in an engine's own counters is a metric, ``localassist_engine_<field>``, without being
named here; ``_HELP`` only says more about the known ones. Each application has its own metrics.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from localassist import clock
from localassist.engine.pool import EnginePool, LoadedModel
from localassist.runs.counters import RunCounters
from localassist.services.histogram import Histogram
from localassist.services.ingest_job import IngestCounters

PREFIX = "localassist"
_METHODS = frozenset("DELETE GET HEAD OPTIONS PATCH POST PUT".split())
_REQUEST_SECONDS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_STATES = ("loading", "busy", "idle", "closing")

# Engine counters that go up and down; every other one only grows until the engine is closed.
_GAUGES = frozenset("running waiting widest_step most_running".split())
_GAUGE_ENDINGS = ("_cells", "_bytes")
_HELP = {
    "steps": "Model passes.",
    "rows": "Tokens computed in all passes.",
    "widest_step": "Most sequences that shared one pass.",
    "prefilled_tokens": "Tokens computed without reading their logits: prompts, forced tokens.",
    "cached_tokens": "Tokens of prompts whose KV cells were there already.",
    "restored_tokens": "Tokens whose KV cells came back from a snapshot.",
    "generated_tokens": "Tokens of finished answers.",
    "forced_tokens": "Generated tokens that a grammar left no choice about.",
    "drafted_tokens": "Tokens guessed ahead and checked.",
    "accepted_tokens": "Guesses that were right.",
    "snapshot_memory_bytes": "Saved KV cells in memory.",
    "snapshot_disk_bytes": "Saved KV cells on disk, of all models.",
    "preemptions": "Sequences put back because cells ran out.",
    "evictions": "Idle segments that gave their cells away.",
    "running": "Sequences being computed.",
    "waiting": "Sequences that wait for their turn.",
    "used_cells": "KV cells that hold tokens.",
    "pinned_cells": "KV cells of running sequences.",
}


class Metrics:
    """The metrics of one application. ``pool`` None: its engines are kept elsewhere."""

    def __init__(
        self,
        pool: EnginePool | None,
        ingested: IngestCounters,
        search_seconds: Histogram,
        kernels: Callable[[], Mapping[str, int]],
        runs: RunCounters,
        paths: Mapping[Any, str],
    ) -> None:
        """``kernels`` counts those of the code interpreter, ``paths`` are the routes' paths by
        endpoint: what counts as one route."""
        self.queued_runs: int | None = None
        """Runs that wait for a worker, in all processes; None where the store does not say."""
        self._paths = paths
        self._requests: Counter[tuple[str, str, str]] = Counter()
        self._seconds: defaultdict[tuple[str, str], Histogram] = defaultdict(_request_histogram)
        self._registry = CollectorRegistry()

        def collect() -> Iterator[Metric]:
            yield from request_metrics(self._requests, self._seconds)
            yield from run_metrics(runs, self.queued_runs)
            if pool is not None:
                yield from pool_metrics(pool)
                yield from model_metrics(pool.loaded())
                yield from engine_metrics(pool.loaded())
            yield from document_metrics(ingested, search_seconds)
            yield from kernel_metrics(kernels())

        self._registry.register(_OurCollector(collect))
        ProcessCollector(registry=self._registry)

    def count_request(self, scope: Scope, status: int, seconds: float) -> None:
        """A response has ended. Paths and methods nobody serves are one label each: callers invent
        them without end."""
        method = method_of(scope)
        route = self._paths.get(scope.get("endpoint"), "unknown")
        self._requests[method, route, str(status)] += 1
        self._seconds[method, route].observe(seconds)

    def render(self, accept: str) -> tuple[bytes, str]:
        """All metrics as text, and its media type, which ``accept`` chooses."""
        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type


class RequestCount:
    """Middleware: counts every response by its route and status; 499 where none was begun."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, started = 499, clock.monotonic()

        async def send_watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_watched)
        finally:
            self._metrics.count_request(scope, status, clock.monotonic() - started)


class _OurCollector(Collector):
    def __init__(self, collect: Callable[[], Iterator[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterator[Metric]:
        return self._collect()


def method_of(scope: Scope) -> str:
    """The method of a request; one name for all that are invented."""
    method: str = scope["method"]
    return method if method in _METHODS else "other"


def _request_histogram() -> Histogram:
    return Histogram(_REQUEST_SECONDS)


def request_metrics(
    requests: Mapping[tuple[str, str, str], int], seconds: Mapping[tuple[str, str], Histogram]
) -> Iterator[Metric]:
    family = _counter("http_requests", "Responses.", "method", "route", "status")
    for labels, count in requests.items():
        family.add_metric(labels, count)
    yield family
    text = "Time to the end of a response; that of a stream is as long as what it tells of."
    yield _histogram("http_request_seconds", text, seconds.items(), "method", "route")


def run_metrics(runs: RunCounters, queued: int | None) -> Iterator[Metric]:
    """What this process has worked, and what waits."""
    text = "Time from storing a run to its end, waiting for its caller included."
    by_status = [((status,), seconds) for status, seconds in runs.run_seconds.items()]
    yield _histogram("run_seconds", text, by_status, "status")
    text = "Time from storing a run to the first text of its answers."
    yield _histogram("run_first_text_seconds", text, [((), runs.first_text_seconds)])
    text = "Time that runs waited for a worker, each time that they were queued."
    yield _histogram("run_queue_seconds", text, [((), runs.queue_seconds)])
    if queued is not None:
        yield _single("runs_queued", "Runs that wait for a worker of any process.", queued)
    yield _single("runs_running", "Runs that workers of this process have.", runs.running)
    calls = _counter("tool_calls", "Calls that runs have made or asked for, by kind.", "kind")
    for kind in ("function", "file_search", "code_interpreter"):
        calls.add_metric((kind,), runs.tool_calls[kind])
    yield calls


def pool_metrics(pool: EnginePool) -> Iterator[Metric]:
    """What has happened to models, those that are closed again included."""
    totals = list(pool.totals.items())
    yield _per_model(
        _counter("model_loads", "Times a model was loaded.", "model"),
        ((name, total.loads) for name, total in totals),
    )
    yield _per_model(
        _counter("model_load_failures", "Times it could not be loaded.", "model"),
        ((name, total.load_failures) for name, total in totals),
    )
    yield _per_model(
        _counter("model_load_seconds", "Time spent on loading it.", "model"),
        ((name, total.load_seconds) for name, total in totals),
    )
    yield _per_model(
        _counter("model_evictions", "Times it was closed to make room for another.", "model"),
        ((name, total.evictions) for name, total in totals),
    )
    yield _per_model(
        _counter("model_expirations", "Times it was closed after its keep-alive.", "model"),
        ((name, total.expirations) for name, total in totals),
    )
    yield _single("models_waiting", "Requests that wait for a model to be loaded.", pool.waiting)
    if pool.budget.size_bytes is not None:
        text = "What all loaded models may take together."
        yield _single("model_memory_budget_bytes", text, pool.budget.size_bytes)


def model_metrics(models: Sequence[LoadedModel]) -> Iterator[Metric]:
    """The models that take memory now."""
    state = _gauge("model_state", "1 for the state a model is in.", "model", "state")
    for model in models:
        for name in _STATES:
            state.add_metric((model.model_id, name), float(model.state == name))
    yield state
    yield _per_model(
        _gauge("model_load_progress_ratio", "The loaded part of a model.", "model"),
        ((model.model_id, model.progress) for model in models),
    )
    yield _per_model(
        _gauge("model_memory_bytes", "Its weights, KV cells and snapshots, by estimate.", "model"),
        ((model.model_id, model.size_bytes) for model in models),
    )
    yield _per_model(
        _gauge("model_leases", "Turns that are using it.", "model"),
        ((model.model_id, model.leases) for model in models),
    )


def engine_metrics(models: Sequence[LoadedModel]) -> Iterator[Metric]:
    """Every number that engines count. It begins anew when a model is loaded again."""
    families: dict[str, GaugeMetricFamily | CounterMetricFamily] = {}
    for model in models:
        for name, value in _numbers(model.counters):
            if name not in families:
                make = _gauge if is_gauge(name) else _counter
                families[name] = make(f"engine_{name}", help_of(name), "model")
            families[name].add_metric((model.model_id,), value)
    yield from families.values()


def document_metrics(ingested: IngestCounters, search_seconds: Histogram) -> Iterator[Metric]:
    """What this process has ingested and searched."""
    text = "Files of vector stores that left the queue: completed, failed, or removed meanwhile."
    files = _counter("ingested_files", text, "outcome")
    for outcome in ("completed", "failed", "dropped"):
        files.add_metric((outcome,), getattr(ingested, outcome))
    yield files
    units = _counter("ingested_units", "Units of text that were embedded for them.")
    units.add_metric((), ingested.units)
    yield units
    yield _single("ingest_queue_files", "Files that wait for their ingest.", ingested.queued)
    text = "Time that searches in vector stores took."
    yield _histogram("search_seconds", text, [((), search_seconds)])


def kernel_metrics(counts: Mapping[str, int]) -> Iterator[Metric]:
    """Kernels of the code interpreter now, and what has happened to all there were."""
    state = _gauge("kernels", "Kernels of the code interpreter, by state.", "state")
    for name in ("busy", "idle", "warm"):
        state.add_metric((name,), counts.get(name, 0))
    yield state
    started = _counter("kernels_started", "Kernels that came up.")
    started.add_metric((), counts.get("started", 0))
    yield started
    text = "Kernels that ended before their thread did: closed to make room, idle too long, dead."
    ended = _counter("kernels_ended", text, "reason")
    for reason in ("evicted", "expired", "died"):
        ended.add_metric((reason,), counts.get(reason, 0))
    yield ended


def is_gauge(field: str) -> bool:
    """Whether an engine's counter goes up and down."""
    return field in _GAUGES or field.endswith(_GAUGE_ENDINGS)


def help_of(field: str) -> str:
    return _HELP.get(field, f"{field.replace('_', ' ').capitalize()}.")


def _numbers(counters: Any) -> Iterator[tuple[str, float]]:
    if counters is None:
        return
    for field in fields(counters):
        value = getattr(counters, field.name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield field.name, value


def _bound(value: float) -> str:
    return "+Inf" if value == float("inf") else str(value)


def _per_model(
    family: GaugeMetricFamily | CounterMetricFamily, values: Iterable[tuple[str, float]]
) -> Metric:
    for model_id, value in values:
        family.add_metric((model_id,), value)
    return family


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=labels)


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"{PREFIX}_{name}", text, labels=labels)


def _histogram(
    name: str, text: str, values: Iterable[tuple[Sequence[str], Histogram]], *labels: str
) -> Metric:
    family = HistogramMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
    for given, histogram in values:
        buckets = [(_bound(bound), count) for bound, count in histogram.buckets()]
        family.add_metric(given, buckets, histogram.sum)
    return family


def _single(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, value=value)
