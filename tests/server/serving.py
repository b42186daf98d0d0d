"""A real runtime with a scripted engine, reached in process or through a socket."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from typing import Any, cast

import openai
import uvicorn

from localassist.client.bridge import LoopThread
from localassist.client.transport import BASE_URL, InProcessTransport, http
from localassist.engine import ScriptedEngine
from localassist.registry.manifest import ModelManifest
from localassist.retrieval.embedders import Embedder, HashingEmbedder
from localassist.runtime import open_runtime
from localassist.server.app import create_app
from localassist.server.protocol import HttpProtocol
from localassist.server.serve import listen
from localassist.settings import Settings
from tests.runs.kernels import NOWHERE, FakeInterpreter


class Stage:
    """Holds the engine that every model name means at the moment, and what runs code; with
    ``has_kernels`` that is the real thing."""

    def __init__(self, *, has_kernels: bool = False) -> None:
        self.engine = ScriptedEngine()
        self.interpreter = FakeInterpreter(verdict=NOWHERE)
        self.has_kernels = has_kernels


class _OnStage:
    """The interpreter of the moment."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stage.interpreter, name)


def scripted(stage: Stage):  # type: ignore[no-untyped-def]
    """``open_runtime`` with doubles in place of the real models."""

    async def load_engine(manifest: ModelManifest) -> ScriptedEngine:
        return stage.engine

    async def load_embedder(manifest: ModelManifest) -> Embedder:
        return HashingEmbedder()

    return partial(
        open_runtime,
        engines=load_engine,
        embedders=load_embedder,
        interpreter=None if stage.has_kernels else cast(Any, _OnStage(stage)),
    )


@contextmanager
def in_process(settings: Settings, stage: Stage) -> Iterator[openai.OpenAI]:
    loop = LoopThread("in-process-test")
    stack = AsyncExitStack()
    runtime = loop.call(stack.enter_async_context(scripted(stage)(settings)))
    transport = InProcessTransport(create_app(runtime, settings.server), loop, lambda: None)
    http_client = http.Client(transport=transport)
    with openai.OpenAI(base_url=BASE_URL, api_key="any", http_client=http_client) as client:
        yield client
    loop.call(stack.aclose())
    loop.close()


@contextmanager
def on_socket(settings: Settings, stage: Stage) -> Iterator[openai.OpenAI]:
    config = uvicorn.Config(
        "", http=HttpProtocol, lifespan="off", log_config=None, access_log=False, ws="none"
    )
    server = uvicorn.Server(config)
    loop = LoopThread("socket-test")
    with listen(settings.server) as listener:

        async def serve() -> None:
            async with scripted(stage)(settings) as runtime:
                server.config.app = create_app(runtime, settings.server)
                await server.serve(sockets=[listener])

        serving = loop.submit(serve())
        while not server.started and not serving.done():
            time.sleep(0.01)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        with openai.OpenAI(base_url=url, api_key="any") as client:
            yield client
        server.should_exit = True
        serving.result(30)
    loop.close()
