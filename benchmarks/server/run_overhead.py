"""What does a run cost beside the model?

Everything around generating: the API call, storage, the worker, the events. A scripted model that
takes no time shows it alone; with the real one each run is compared with the same generation asked
of the same engine directly, everything but the last prompt token cached in both.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import common, wire
from benchmarks.subjects import servers
from benchmarks.subjects.embedded import open_engine
from localassist.engine import Engine, Finished, Generate, Piece, ScriptedEngine
from localassist.registry.manifest import ModelManifest
from localassist.runtime import Runtime, open_runtime
from localassist.schemas.assistants import AssistantCreate
from localassist.schemas.runs import RunCreate
from localassist.schemas.threads import ThreadCreate
from localassist.settings import load_settings

QUESTION = "What does a run cost beside the model?"
SAY = "Describe a lighthouse in a few sentences."
_THREAD: dict[str, Any] = {"messages": [{"role": "user", "content": SAY}]}


class Watched:
    """An engine that remembers its last request and the time its reader waited for it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.waited = 0.0
        self.request: Generate | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def generate(self, request: Generate) -> AsyncGenerator[Piece | Finished, None]:
        self.request, self.waited = request, 0.0
        async with aclosing(self._engine.generate(request)) as items:
            asked = perf_counter()
            async for item in items:
                self.waited += perf_counter() - asked
                yield item
                asked = perf_counter()


@dataclass(frozen=True, slots=True)
class Subject:
    """A runtime and its assistant."""

    runtime: Runtime
    assistant_id: str

    async def run(self) -> float:
        """Seconds from asking for a run to its last event, on a thread of its own."""
        runtime, project = self.runtime, self.runtime.default_project
        thread = await runtime.threads.create(project, ThreadCreate.model_validate(_THREAD))
        body = RunCreate(assistant_id=self.assistant_id, temperature=0, max_completion_tokens=256)
        started = perf_counter()
        run = await runtime.runs.create(project, thread.id, body)
        async for _ in runtime.runs.events(project, thread.id, run.id):
            pass
        return perf_counter() - started


async def alone(engine: Engine, request: Generate) -> float:
    started = perf_counter()
    async with aclosing(engine.generate(request)) as items:
        async for _ in items:
            pass
    return perf_counter() - started


async def over_http(server: servers.Server, assistant_id: str) -> float:
    thread = await wire.post(server.base_url, "/threads", _THREAD)
    body = {"assistant_id": assistant_id, "temperature": 0, "max_completion_tokens": 256}
    return (await wire.stream_run(server.base_url, f"/threads/{thread['id']}/runs", body)).wall


@asynccontextmanager
async def opened(home: Path, model: common.Model, engine: Watched) -> AsyncIterator[Subject]:
    async def engines(manifest: ModelManifest) -> Any:
        return engine

    async with open_runtime(load_settings(home, environ={}), engines=engines) as runtime:
        body = AssistantCreate(model=model.id)
        made = await runtime.assistants.create(runtime.default_project, body)
        yield Subject(runtime, made.id)


async def measure(
    model: common.Model, server: servers.Server, home: Path, repeats: int
) -> list[dict[str, float]]:
    """The seconds of every turn, by subject."""
    real, scripted = Watched(open_engine(model)), Watched(ScriptedEngine(default_reply="A " * 128))
    assistant = await wire.post(server.base_url, "/assistants", {"model": model.id})
    turns = []
    async with (
        opened(home / "scripted", model, scripted) as quick,
        opened(home / "real", model, real) as slow,
    ):
        for turn in range(-1, repeats):  # the first one warms everything up
            seconds = {"scripted": await quick.run() - scripted.waited, "run": await slow.run()}
            assert real.request is not None
            seconds["alone"] = await alone(real, real.request)
            seconds["http"] = await over_http(server, assistant["id"])
            seconds["8 at once"] = await at_once(quick, 8) / 8
            if turn >= 0:
                turns.append(seconds)
    await real.close()
    return turns


async def at_once(subject: Subject, runs: int) -> float:
    started = perf_counter()
    await asyncio.gather(*(subject.run() for _ in range(runs)))
    return perf_counter() - started


def rows_of(turns: list[dict[str, float]]) -> list[common.Row]:
    def row(name: str, seconds: list[float], share: float | None = None) -> common.Row:
        milliseconds = [second * 1000 for second in seconds]
        return {
            "cost of a run": name,
            "median ms": common.median(milliseconds),
            "p95 ms": common.percentile(milliseconds, 95),
            "share of the run": share,
        }

    def beside(subject: str) -> common.Row:
        extra = [turn[subject] - turn["alone"] for turn in turns]
        share = common.median([1 - turn["alone"] / turn[subject] for turn in turns])
        return row(f"{subject} - engine alone", extra, share)

    return [
        row("scripted, model time taken out", [turn["scripted"] for turn in turns]),
        row("scripted, 8 at once, per run", [turn["8 at once"] for turn in turns]),
        row("engine alone (whole)", [turn["alone"] for turn in turns]),
        beside("run"),
        beside("http"),
    ]


def main() -> None:
    options = common.options(QUESTION, repeats=15)
    model = common.embedded_model()
    with tempfile.TemporaryDirectory() as folder:
        with servers.our_server(model, Path(folder, "server")) as server:
            turns = asyncio.run(measure(model, server, Path(folder), options.repeats))
    measured = {
        "overhead/ms": common.spread([turn["scripted"] * 1000 for turn in turns]),
        "overhead/share": common.spread([1 - turn["alone"] / turn["run"] for turn in turns]),
    }
    environment = common.environment(model)
    common.report(QUESTION, rows_of(turns), environment=environment, measured=measured)


if __name__ == "__main__":
    main()
