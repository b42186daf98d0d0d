"""The embedded engine, without a server: in this process, or in a child that is asked in JSON."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import common
from benchmarks.subjects.process import Subject, details, serve
from localassist.core import Constraint, SamplingParams
from localassist.engine import EngineSettings, Finished, Generate, LlamaEngine, Piece, load_engine

Answer = dict[str, Any]
"""Of one prompt: ``arrivals`` (seconds of every piece), ``text``, ``token_ids``, ``tokens``,
``prompt_tokens``, ``cached_tokens``."""


def open_engine(
    model: common.Model, settings: dict[str, Any] | None = None, folder: Path | None = None
) -> LlamaEngine:
    """The engine as ``localassist serve`` opens it; ``folder`` is its data folder."""
    chosen = EngineSettings(**{**model.measured, **(settings or {})})
    return load_engine(model.path, model.id, chosen, folder or common.PROBE_FOLDER)


def embedded_engine(
    model: common.Model, settings: dict[str, Any] | None = None, folder: Path | None = None
) -> Subject:
    """The engine in a child: commands ``tokenize``, ``answer`` and ``state``. Warmed up."""
    found = dataclasses.asdict(model) | {"path": str(model.path)}
    opening = {
        "model": found,
        "settings": settings,
        "folder": None if folder is None else str(folder),
    }
    subject = Subject("benchmarks.subjects.embedded", opening)
    subject.ask("answer", prompts=["Hello"], sampling={"temperature": 0, "max_tokens": 4})
    return subject


class Embedded:
    """An engine whose calls return when everything is said."""

    def __init__(self, engine: LlamaEngine) -> None:
        self._engine = engine
        self._loop = asyncio.new_event_loop()

    def tokenize(self, text: str) -> list[int]:
        return self._engine.tokenize(text, parse_special=True)

    def answer(
        self,
        prompts: Sequence[str | list[int]],
        sampling: dict[str, Any],
        grammar: str | None = None,
        limits: Sequence[int] | None = None,
    ) -> dict[str, Any]:
        """``seconds`` until all prompts, asked at once, are answered, and the ``answers``.
        ``limits`` are the most tokens of each, instead of ``sampling``'s."""
        params = SamplingParams(**{**sampling, "stop": tuple(sampling.get("stop", ()))})
        constraint = None if grammar is None else Constraint(grammar)
        each = [None for _ in prompts] if limits is None else limits
        requests = [
            Generate(
                self.tokenize(prompt) if isinstance(prompt, str) else prompt,
                params if limit is None else replace(params, max_tokens=limit),
                constraint,
            )
            for prompt, limit in zip(prompts, each, strict=True)
        ]
        return self._loop.run_until_complete(self._all(requests))

    def state(self) -> dict[str, Any]:
        """``counters`` of the engine and resident ``memory_mb``."""
        counters = self._engine.counters
        return {"counters": dataclasses.asdict(counters), "memory_mb": common.memory_mb()}

    def close(self) -> None:
        self._loop.run_until_complete(self._engine.close())
        self._loop.close()

    async def _all(self, requests: list[Generate]) -> dict[str, Any]:
        started = perf_counter()
        answers = await asyncio.gather(*(self._one(request, started) for request in requests))
        return {"seconds": perf_counter() - started, "answers": answers}

    async def _one(self, request: Generate, started: float) -> Answer:
        arrivals: list[float] = []
        pieces: list[Piece] = []
        async for item in self._engine.generate(request):
            if isinstance(item, Finished):
                return {
                    "arrivals": arrivals,
                    "text": "".join(piece.text for piece in pieces),
                    "token_ids": [token for piece in pieces for token in piece.token_ids],
                    "tokens": item.usage.completion_tokens,
                    "prompt_tokens": item.usage.prompt_tokens,
                    "cached_tokens": item.usage.cached_tokens,
                }
            assert isinstance(item, Piece)
            arrivals.append(perf_counter() - started)
            pieces.append(item)
        raise AssertionError("a generation ends with Finished")


def produced(answered: dict[str, Any]) -> int:
    """Tokens of all answers of one ``answer`` command."""
    return sum(one["tokens"] for one in answered["answers"])


def main() -> None:
    found = details()
    model = common.Model(**{**found["model"], "path": Path(found["model"]["path"])})
    folder = None if found["folder"] is None else Path(found["folder"])
    embedded = Embedded(open_engine(model, found["settings"], folder))
    serve({"tokenize": embedded.tokenize, "answer": embedded.answer, "state": embedded.state})
    embedded.close()


if __name__ == "__main__":
    main()
