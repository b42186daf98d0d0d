"""A runtime whose model is scripted: everything but the model is real."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from localassist.engine import ScriptedEngine
from localassist.registry.manifest import ModelManifest
from localassist.retrieval.embedders import HashingEmbedder
from localassist.runtime import Runtime, open_runtime
from localassist.schemas.assistants import AssistantCreate
from localassist.schemas.base import ListQuery
from localassist.schemas.events import RunEvent
from localassist.schemas.run_steps import RunStep
from localassist.schemas.runs import Run, RunCreate
from localassist.schemas.threads import ThreadCreate
from localassist.settings import load_settings
from tests.runs.kernels import NOWHERE, FakeInterpreter

P = "proj_default"
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}

OpenRuntime = Callable[..., AbstractAsyncContextManager[Runtime]]


@pytest.fixture
def open_scripted(tmp_path: Path) -> OpenRuntime:
    """Opens runtimes on one data folder; ``engine`` answers for a model of the given tool mode.
    Code cannot be run, unless an ``interpreter`` is given; None means kernels in isolation."""

    nowhere = FakeInterpreter(verdict=NOWHERE)

    def opened(
        engine: ScriptedEngine,
        *,
        tool_mode: str = "native",
        interpreter: FakeInterpreter | None = nowhere,
        **sections: Any,
    ) -> AbstractAsyncContextManager[Runtime]:
        _add_model(tmp_path / "data", tool_mode)
        sections.setdefault("runs", {"poll_seconds": 0.05, "flush_seconds": 0.005})
        settings = load_settings(tmp_path / "data", **sections)

        async def engines(manifest: ModelManifest) -> ScriptedEngine:
            return engine

        async def embedders(manifest: ModelManifest) -> HashingEmbedder:
            return HashingEmbedder()

        return open_runtime(
            settings,
            engines=engines,
            embedders=embedders,
            interpreter=interpreter,
        )

    return opened


def _add_model(home: Path, tool_mode: str) -> None:
    folder = home / "models"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scripted.toml").write_text(
        f'id = "scripted"\nkind = "chat"\nsha256 = "{"0" * 64}"\nsize_bytes = 1\n'
        f'tool_mode = "{tool_mode}"\n[source]\npath = "/nowhere.gguf"\n'
    )


@dataclass
class Talk:
    """One assistant and one thread, and the steps tests take with them."""

    runtime: Runtime
    assistant_id: str
    thread_id: str

    async def start(self, **fields: Any) -> Run:
        body = RunCreate.model_validate({"assistant_id": self.assistant_id, **fields})
        return await self.runtime.runs.create(P, self.thread_id, body)

    async def events(self, run: Run, after_seq: int = -1) -> list[RunEvent]:
        stream = self.runtime.runs.events(P, self.thread_id, run.id, after_seq)
        return [event async for event in stream]

    async def finish(self, **fields: Any) -> Run:
        run = await self.start(**fields)
        await self.events(run)
        return await self.look(run)

    async def look(self, run: Run) -> Run:
        return await self.runtime.runs.retrieve(P, self.thread_id, run.id)

    async def say(self, text: str) -> None:
        from localassist.schemas.messages import MessageCreate

        body = MessageCreate(role="user", content=text)
        await self.runtime.messages.create(P, self.thread_id, body)

    async def texts(self) -> list[tuple[str, str]]:
        query = ListQuery(limit=100, order="asc")
        page = await self.runtime.messages.list(P, self.thread_id, query)
        return [(m.role, m.content[0].text.value if m.content else "") for m in page.data]

    async def steps(self, run: Run) -> list[RunStep]:
        query = ListQuery(limit=100, order="asc")
        return (await self.runtime.runs.list_steps(P, self.thread_id, run.id, query)).data


async def begin(runtime: Runtime, question: str = "Hello?", **assistant: Any) -> Talk:
    body = AssistantCreate.model_validate({"model": "scripted", **assistant})
    made = await runtime.assistants.create(P, body)
    messages = [{"role": "user", "content": question}]
    thread = await runtime.threads.create(P, ThreadCreate.model_validate({"messages": messages}))
    return Talk(runtime, made.id, thread.id)


def names(events: list[RunEvent]) -> list[str]:
    """Event names with the common prefixes cut and runs of deltas as one."""
    short = [e.name.removeprefix("thread.").replace("message.", "M.") for e in events]
    short = [name.replace("run.step.", "S.").replace("run.", "R.") for name in short]
    return [n for i, n in enumerate(short) if not (i and n == short[i - 1] and "delta" in n)]


@asynccontextmanager
async def talk_to(open_scripted: OpenRuntime, engine: ScriptedEngine) -> AsyncIterator[Talk]:
    async with open_scripted(engine) as runtime:
        yield await begin(runtime)


@pytest_asyncio.fixture
async def engine() -> ScriptedEngine:
    return ScriptedEngine(model_id="scripted", default_reply="Hello, I am a scripted model.")


@pytest_asyncio.fixture
async def talk(open_scripted: OpenRuntime, engine: ScriptedEngine) -> AsyncIterator[Talk]:
    async with talk_to(open_scripted, engine) as opened:
        yield opened
