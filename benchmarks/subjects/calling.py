"""Function calling as the product does it, in a child: one turn of the default chat model, through
``services.turn.take_turn``, which runs and chat completions use."""

from __future__ import annotations

import asyncio
import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import common
from benchmarks.subjects.process import Subject, details, serve
from localassist.chat.formats import ToolChoice
from localassist.core import ChatMessage, ToolSpec
from localassist.engine import EngineSettings, LlamaEngine
from localassist.errors import LocalAssistError
from localassist.runtime import Runtime, open_runtime
from localassist.services.turn import take_turn
from localassist.services.turn_items import Text, TurnEnded, TurnRequest
from localassist.settings import Settings

_MOST_TOKENS = 1024


def our_caller(model: common.Model) -> Subject:
    """Command ``call``. Warmed up, embeddings too."""
    subject = Subject(
        "benchmarks.subjects.calling", {"model": model.id, "measured": model.measured}
    )
    question = [{"role": "user", "content": "Hello, say a word."}]
    function = {"name": "say", "description": "Say a word.", "parameters": {"type": "object"}}
    subject.ask(
        "call",
        messages=question,
        tools=[{"type": "function", "function": function}],
        choice="auto",
    )
    return subject


class Caller:
    """A runtime whose turns return when it is known what is called."""

    def __init__(self, runtime: Runtime, model_id: str, loop: asyncio.AbstractEventLoop) -> None:
        self._runtime = runtime
        self._model_id = model_id
        self._loop = loop

    def call(
        self,
        messages: Sequence[Mapping[str, str]],
        tools: Sequence[Mapping[str, Any]],
        choice: str,
    ) -> dict[str, Any]:
        """``calls`` (name and arguments), ``seconds``, ``evaluated`` and ``written`` tokens, the
        turn's ``evidence``; or ``error``."""
        return self._loop.run_until_complete(self._call(messages, tools, choice))

    async def _call(
        self,
        messages: Sequence[Mapping[str, str]],
        tools: Sequence[Mapping[str, Any]],
        choice: str,
    ) -> dict[str, Any]:
        specs = [
            ToolSpec(f["name"], f.get("description", ""), f.get("parameters", {}))
            for f in (tool["function"] for tool in tools)
        ]
        conversation = [ChatMessage(m["role"], m["content"]) for m in messages]  # type: ignore[arg-type]  # roles come from the data
        models = self._runtime.models
        async with models.chat(self._model_id) as model:
            assert isinstance(model.engine, LlamaEngine)
            sampling = dataclasses.replace(model.sampling(0.0, None), max_tokens=_MOST_TOKENS)
            request = TurnRequest(conversation, sampling, specs, ToolChoice.from_wire(choice))
            before = model.engine.counters.rows
            started = perf_counter()
            found: dict[str, Any] = {"calls": [], "evidence": {}, "written": 0}
            try:
                async with aclosing(take_turn(model, request, models.validate)) as turn:
                    async for item in turn:
                        # A guided model that has begun to answer in words will call nothing.
                        if isinstance(item, Text) and model.guided is not None:
                            break
                        if isinstance(item, TurnEnded):
                            found["calls"] = [[c.name, c.arguments] for c in item.calls]
                            found["evidence"] = item.evidence
                            found["written"] = item.usage.completion_tokens
            except LocalAssistError as error:
                found["error"] = f"{type(error).__name__}: {error.message}"
            found["seconds"] = perf_counter() - started
            found["evaluated"] = model.engine.counters.rows - before
        return found


def main() -> None:
    found = details()
    engine = EngineSettings(**found["measured"])
    loop = asyncio.new_event_loop()
    with tempfile.TemporaryDirectory() as home:
        opened = open_runtime(Settings(home=Path(home), engine=engine))
        runtime = loop.run_until_complete(opened.__aenter__())
        try:
            serve({"call": Caller(runtime, found["model"], loop).call})
        finally:
            loop.run_until_complete(opened.__aexit__(None, None, None))
    loop.close()


if __name__ == "__main__":
    main()
