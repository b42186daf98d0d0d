"""``/metrics`` and ``/health``: what a scrape finds, and who may ask."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from starlette.applications import Starlette

from localassist import load_settings
from localassist.engine import EnginePool, EngineSettings, LlamaEngine, ScriptedEngine
from localassist.engine.footprint import MIB, MemoryBudget
from localassist.engine.loading import LoadProgress
from localassist.engine.request import Engine
from localassist.engine.scripted_backend import ScriptedBackend
from localassist.engine.worker import EngineCounters
from localassist.runs import state
from localassist.sandbox.verdict import Verdict
from localassist.schemas.vector_stores import VectorStoreCreate
from localassist.server.app import create_app
from localassist.server.config import ServerSettings
from localassist.server.metrics import PREFIX, help_of, is_gauge
from tests.docs_pages import DOCS
from tests.runs.conftest import begin
from tests.server.asgi import request
from tests.server.serving import Stage, scripted

KEYS = ServerSettings(api_keys=(SecretStr("sk-right-key-123"),))
KEY = {"authorization": "Bearer sk-right-key-123"}


def load(model_id: str, progress: LoadProgress) -> Engine:
    if model_id == "plain":
        return ScriptedEngine(model_id=model_id)
    return LlamaEngine(ScriptedBackend, model_id, EngineSettings(max_sequences=2))


class Kernels:
    """What an interpreter tells of its kernels."""

    def counts(self) -> dict[str, int]:
        return {"busy": 2, "idle": 1, "warm": 1, "started": 9, "died": 3}

    def verdict_so_far(self) -> Verdict | None:
        return Verdict("bubblewrap", "none", False, ("It is not installed.",), "apt install it")


@asynccontextmanager
async def opened(
    home: Path, server: ServerSettings | None = None
) -> AsyncIterator[tuple[Starlette, EnginePool]]:
    """An app whose pool loads scripted models of 2 MiB, one at a time."""
    pool = EnginePool(load, estimate=lambda _: 2 * MIB, budget=MemoryBudget(3 * MIB))
    settings = load_settings(home)
    async with scripted(Stage())(settings) as runtime:
        staged: Any = {"pool": pool, "interpreter": Kernels()}
        app = create_app(dataclasses.replace(runtime, **staged), server or settings.server)
        try:
            yield app, pool
        finally:
            await pool.close()


async def scrape(app: Starlette) -> dict[tuple[str, tuple[str, ...]], float]:
    """Samples by name and label values."""
    answer = await request(app, "GET", "/metrics", headers=KEY)
    assert answer.headers["content-type"].startswith("text/plain")
    families = text_string_to_metric_families(answer.body.decode())
    return {(s.name, tuple(s.labels.values())): s.value for f in families for s in f.samples}


async def test_a_scrape_tells_of_models_that_are_and_were_loaded(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pool):
        async with pool.lease("a") as engine:
            assert len(await engine.score([1], [[2, 3]])) == 1
        async with pool.lease("b") as engine:
            found = await scrape(app)
            assert found["localassist_model_state", ("b", "busy")] == 1
            assert found["localassist_model_state", ("b", "idle")] == 0
            assert found["localassist_model_leases", ("b",)] == 1
            assert ("localassist_model_leases", ("a",)) not in found
            assert found["localassist_model_memory_bytes", ("b",)] == 2 * MIB
            assert found["localassist_model_memory_budget_bytes", ()] == 3 * MIB
            assert found["localassist_model_loads_total", ("a",)] == 1
            assert found["localassist_model_evictions_total", ("a",)] == 1
            assert found["localassist_models_waiting", ()] == 0


async def test_every_number_that_an_engine_counts_is_a_metric(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pool), pool.lease("a") as engine:
        await engine.score([1], [[2, 3]])
        found = await scrape(app)
        for field in dataclasses.fields(EngineCounters):
            name = f"{PREFIX}_engine_{field.name}" + ("" if is_gauge(field.name) else "_total")
            assert (name, ("a",)) in found
        assert found["localassist_engine_steps_total", ("a",)] >= 1


async def test_engines_may_count_what_they_like(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, pool), pool.lease("plain"):
        assert (await scrape(app))["localassist_engine_aborted_total", ("plain",)] == 0
    assert help_of("tokens_from_moon") == "Tokens from moon."
    assert is_gauge("disk_snapshot_bytes") and not is_gauge("prefilled_tokens")


async def test_responses_are_counted_by_route_not_by_path(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, _):
        for method, path in (
            ("GET", "/v1/threads/thread_1"),
            ("GET", "/v1/threads/thread_2"),
            ("PUT", "/v1/threads/thread_2"),
            ("GET", "/v1/invented"),
            ("INVENTED", "/health"),
        ):
            await request(app, method, path)
        found = await scrape(app)
    counts = {key[1]: value for key, value in found.items() if "http_requests_total" in key[0]}
    assert counts == {
        ("GET", "/v1/threads/{thread_id}", "404"): 2,
        ("PUT", "/v1/threads/{thread_id}", "405"): 1,
        ("GET", "unknown", "404"): 1,
        ("other", "/health", "405"): 1,
    }


async def test_ingest_and_searches_are_counted(tmp_path: Path) -> None:
    settings = load_settings(tmp_path)
    async with scripted(Stage())(settings) as runtime:

        async def chunks() -> AsyncIterator[bytes]:
            yield b"The treaty was signed in Vienna."

        file = await runtime.files.create(
            runtime.default_project, filename="a.txt", purpose="assistants", chunks=chunks()
        )
        body = VectorStoreCreate(file_ids=[file.id])
        store = await runtime.vector_stores.create(runtime.default_project, body)
        assert await runtime.ingest.wait_for([store.id], 60)
        await runtime.library.search(runtime.default_project, [store.id], ["Where?"])
        found = await scrape(create_app(runtime, settings.server))
        assert found["localassist_ingested_files_total", ("completed",)] == 1
        assert found["localassist_ingested_units_total", ()] == 1
        assert found["localassist_search_seconds_count", ()] == 1
        assert found["localassist_search_seconds_bucket", ("+Inf",)] == 1


async def test_metrics_ask_for_a_key_where_the_api_does(tmp_path: Path) -> None:
    async with opened(tmp_path, KEYS) as (app, pool), pool.lease("a"):
        assert (await request(app, "GET", "/metrics")).status == 401
        assert (await request(app, "GET", "/metrics", headers=KEY)).status == 200
        assert json.loads((await request(app, "GET", "/health")).body) == {"status": "ok"}
        models = [{"id": "a", "state": "busy", "progress": 1.0}]
        health = await request(app, "GET", "/health", headers=KEY)
        idle: dict[str, object] = {"embedders_loading": [], "ingest": []}
        told = json.loads(health.body)
        sandbox, kernels = told.pop("sandbox"), told.pop("kernels")
        assert told == {"status": "ok", "models": models, **idle}
        assert sandbox == {
            "provider": "bubblewrap",
            "level": "none",
            "ok": False,
            "reasons": ["It is not installed."],
            "fix_hint": "apt install it",
        }
        assert kernels == Kernels().counts()


async def test_kernels_are_counted_by_state_and_by_how_they_ended(tmp_path: Path) -> None:
    async with opened(tmp_path) as (app, _):
        found = await scrape(app)
    states = {s: found["localassist_kernels", (s,)] for s in ("busy", "idle", "warm")}
    assert states == {"busy": 2, "idle": 1, "warm": 1}
    assert found["localassist_kernels_started_total", ()] == 9
    ended = "localassist_kernels_ended_total"
    reasons = {r: found[ended, (r,)] for r in ("evicted", "expired", "died")}
    assert reasons == {"evicted": 0, "expired": 0, "died": 3}


async def test_runs_are_measured_by_how_they_ended_and_requests_by_route(tmp_path: Path) -> None:
    stage = Stage()
    stage.engine = ScriptedEngine(default_reply="Hello.")
    settings = load_settings(tmp_path)
    async with scripted(stage)(settings) as runtime:
        talk = await begin(runtime, model="smollm2-135m-instruct")
        run = await talk.finish()
        app = create_app(runtime, settings.server)
        for _ in range(2):
            await request(app, "GET", f"/v1/threads/{run.thread_id}/runs/{run.id}")
        found = await scrape(app)
        runtime.run_counters.running = 3
        assert (await scrape(app))["localassist_runs_running", ()] == 3
    ended = {status: found["localassist_run_seconds_count", (status,)] for status in state.TERMINAL}
    assert ended == {**dict.fromkeys(state.TERMINAL, 0), "completed": 1}
    assert found["localassist_run_first_text_seconds_count", ()] == 1
    assert found["localassist_run_queue_seconds_count", ()] == 1
    assert found["localassist_runs_queued", ()] == 0
    assert found["localassist_tool_calls_total", ("function",)] == 0
    route = "GET", "/v1/threads/{thread_id}/runs/{run_id}"
    assert found["localassist_http_request_seconds_count", route] == 2


async def test_every_metric_is_explained(tmp_path: Path) -> None:
    text = (DOCS / "metrics.md").read_text(encoding="utf-8")
    async with opened(tmp_path) as (app, pool), pool.lease("a"):
        await request(app, "GET", "/health")
        samples = [name for name, _ in await scrape(app) if name.startswith(PREFIX)]
        found = {re.sub("_(bucket|sum|count)$", "", name) for name in samples}
    listed = {
        line.split("`")[1].partition("{")[0]
        for line in text.splitlines()
        if line.startswith(f"| `{PREFIX}")
    }
    assert listed == found
