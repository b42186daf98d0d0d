"""Spans, as OpenTelemetry's exporter in memory gets them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from localassist import load_settings
from localassist.engine import ScriptedEngine
from localassist.errors import ConfigError
from localassist.observability import spans, tracing
from localassist.observability.config import TracingSettings
from localassist.server.app import create_app
from tests.runs.conftest import WEATHER
from tests.server.asgi import Exchange, request
from tests.server.serving import Stage, scripted

MODEL = "smollm2-135m-instruct"
TRACE = "0af7651916cd43dd8448eb211c80319c"
CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
SECRET = "the treaty of Vienna"


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    with tracing.installed(SimpleSpanProcessor(exporter)):
        yield exporter
    assert not spans.are_wanted()


class Traced:
    """The finished spans of one trace."""

    def __init__(self, exporter: InMemorySpanExporter, trace: str) -> None:
        self.spans = [
            span
            for span in exporter.get_finished_spans()
            if span.context is not None and f"{span.context.trace_id:032x}" == trace
        ]

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def path(self, span: ReadableSpan) -> list[str]:
        """Names from the outermost span of ours to this one."""
        known = {one.context.span_id: one for one in self.spans if one.context is not None}
        names = [span.name]
        while span.parent is not None and span.parent.span_id in known:
            span = known[span.parent.span_id]
            names.insert(0, span.name)
        return names


async def send(app: Any, method: str, path: str, body: dict[str, Any] | None = None) -> Exchange:
    headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    chunks = () if body is None else (json.dumps(body).encode(),)
    answer = await request(app, method, path, headers=headers, chunks=chunks)
    assert answer.status == 200, answer.body
    return answer


async def test_a_run_is_in_the_trace_of_who_asked_for_it(
    tmp_path: Path, exporter: InMemorySpanExporter
) -> None:
    stage = Stage()
    stage.engine = ScriptedEngine(CALL, default_reply="Rain.")
    settings = load_settings(tmp_path)
    async with scripted(stage)(settings) as runtime:
        app = create_app(runtime, settings.server)
        made = await send(app, "POST", "/v1/assistants", {"model": MODEL, "tools": [WEATHER]})
        body = {
            "assistant_id": json.loads(made.body)["id"],
            "thread": {"messages": [{"role": "user", "content": f"Weather? {SECRET}"}]},
            "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
            "stream": True,
        }
        await send(app, "POST", "/v1/threads/runs", body)
    assert runtime.run_counters.tool_calls["function"] == 1
    traced = Traced(exporter, TRACE)
    outer = "POST /v1/threads/runs"
    (run,) = traced.named("run")
    assert traced.path(run) == [outer, "run"]
    (turn,) = traced.named("turn")
    assert traced.path(turn) == [outer, "run", "turn"]
    engine = [span for span in traced.spans if span.name in ("prefill", "decode", "scoring")]
    assert engine
    for span in engine:
        inner = ["engine request"] if span.name != "scoring" else []
        assert traced.path(span) == [outer, "run", "turn", *inner, span.name]
        assert str(dict(span.attributes or {})["localassist.run_id"]).startswith("run_")
    (root,) = traced.named(outer)
    assert root.parent is not None and f"{root.parent.span_id:016x}" == "b7ad6b7169203331"
    attributes = dict(root.attributes or {})
    assert attributes["http.route"] == "/v1/threads/runs"
    assert attributes["http.response.status_code"] == 200
    assert str(attributes["localassist.request_id"]).startswith("req_")
    assert SECRET not in "".join(span.to_json() for span in traced.spans)


async def test_a_chat_completion_is_one_too(tmp_path: Path, exporter: InMemorySpanExporter) -> None:
    stage = Stage()
    stage.engine = ScriptedEngine(default_reply="Hello.")
    settings = load_settings(tmp_path)
    async with scripted(stage)(settings) as runtime:
        body = {"model": MODEL, "messages": [{"role": "user", "content": "Hello?"}], "stream": True}
        await send(create_app(runtime, settings.server), "POST", "/v1/chat/completions", body)
    traced = Traced(exporter, TRACE)
    (decode,) = traced.named("decode")
    assert traced.path(decode) == ["POST /v1/chat/completions", "engine request", "decode"]


async def test_what_was_waited_for_is_told_afterwards(exporter: InMemorySpanExporter) -> None:
    from localassist.observability import timeline

    record = {
        "at": 1_000.0,
        "traceparent": f"00-{TRACE}-b7ad6b7169203331-01",
        "phases": [
            {"name": "decode", "start_ms": 0.0, "ms": 10.0},
            {"name": "functions", "start_ms": 10.0, "ms": 2000.0, "calls": ["get_weather"]},
            {"name": "queued", "start_ms": 2010.0, "ms": 5.0},
        ],
    }
    spans.past_waits(timeline.Timeline(record))
    waited, queued = exporter.get_finished_spans()
    assert (waited.name, queued.name) == ("functions", "queued")
    assert waited.start_time is not None and waited.end_time is not None
    assert waited.start_time == 1_000_010_000_000
    assert waited.end_time - waited.start_time == 2_000_000_000
    assert dict(waited.attributes or {})["localassist.calls"] == ("get_weather",)


async def test_paths_and_methods_that_are_invented_name_no_span(
    tmp_path: Path, exporter: InMemorySpanExporter
) -> None:
    settings = load_settings(tmp_path)
    async with scripted(Stage())(settings) as runtime:
        app = create_app(runtime, settings.server)
        await request(app, "GET", "/v1/invented/by/me")
        await request(app, "BREW", "/v1/models", headers={"traceparent": "00-nonsense\r\n"})
    assert {span.name for span in exporter.get_finished_spans()} <= {"GET", "other /v1/models"}


def test_without_an_endpoint_nothing_is_made_nor_imported() -> None:
    with tracing.exported(TracingSettings()):
        assert not spans.are_wanted()
    code = (
        "import sys, localassist.server.serve, localassist.observability.tracing as tracing\n"
        "from localassist.observability.config import TracingSettings\n"
        "with tracing.exported(TracingSettings()): pass\n"
        "print('opentelemetry' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_missing_extra_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.grpc.trace_exporter", None)
    settings = TracingSettings(endpoint="http://127.0.0.1:4317")
    with pytest.raises(ConfigError, match=r"pip install 'localassist\[otel\]'"):
        with tracing.exported(settings):
            pass
