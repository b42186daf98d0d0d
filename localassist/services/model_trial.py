"""Tries a model out in a process of its own, which may crash: ``python -m`` this module.

It is asked by ``model_check`` and says what it finds, a line for each step. A line that announces a
step comes before it, so that whoever reads knows what the process died of. Judges nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from localassist.chat.formats import ToolChoice
from localassist.child import Line, read_request, say
from localassist.core import ChatMessage, SamplingParams
from localassist.engine import Engine, EngineSettings, LlamaEngine, load_engine, validate_grammar
from localassist.engine.footprint import cell_bytes, cells_within, snapshot_memory_bytes
from localassist.engine.machine import free_memory_bytes, machine_memory_bytes, usable_cores
from localassist.engine.request import Finished, Generate
from localassist.errors import LocalAssistError
from localassist.registry.catalog import Catalog
from localassist.registry.config import ModelsSettings
from localassist.registry.gguf import read_header
from localassist.registry.manifest import ModelManifest, ServerSource
from localassist.registry.tool_modes import ToolModeMemory
from localassist.registry.weights import find_weights
from localassist.retrieval.embedders import Embedder, open_embedder
from localassist.services.model_memory import fitted
from localassist.services.model_servers import open_server_engine
from localassist.services.models import ChatModel, Models
from localassist.services.tool_mode import ProbedToolModes

_PREFILL_TOKENS, _DECODE_TOKENS, _ANSWER_TOKENS = 512, 48, 96
_QUESTION = "Say hello in one short sentence."
_TEXT = "The ferry to the island leaves at a quarter past eight from the northern quay. "
_ALIKE = ("How do I reset my password?", "I forgot my password and cannot log in.")
_OTHER = "The volcano erupted twice in the spring of that year."


def try_chat_model(request: Line) -> None:
    """Load a chat model and let it read, write, end and call."""
    catalog, manifest = _model(request)
    settings = EngineSettings.model_validate(request["engine"])
    say({"step": "load"})
    before_bytes = _resident_bytes()
    started = time.monotonic()
    with _library_errors() as errors:
        try:
            engine = _load(manifest, settings, Path(request["home"]))
        except LocalAssistError as error:
            say({"failed": error.message, "reasons": errors[-3:]})
            return
    seconds = time.monotonic() - started
    asyncio.run(_converse(request, catalog, manifest, engine))
    resident = _resident_bytes()
    taken = resident - before_bytes if resident and before_bytes else None
    say({"loaded_seconds": seconds, "context": engine.context_length, "taken_bytes": taken})
    asyncio.run(engine.close())


def _load(manifest: ModelManifest, settings: EngineSettings, home: Path) -> Engine:
    if isinstance(manifest.source, ServerSource):
        return open_server_engine(manifest)
    now, _ = fitted(manifest, settings, free_memory_bytes())
    most, _ = fitted(manifest, settings, machine_memory_bytes())
    cells = now.context_tokens or 0
    metadata = read_header(find_weights(manifest)).metadata
    kv_bytes = cells * cell_bytes(metadata, settings)
    memory, free = machine_memory_bytes(), free_memory_bytes()
    fitting = cells
    if memory is not None and free is not None and settings.gpu_layers == 0:
        fitting = cells_within(
            manifest.size_bytes, metadata, settings, cells, memory_bytes=memory, free_bytes=free
        )
    say(
        {
            "cells": cells,
            "most_cells": most.context_tokens,
            "fitting_cells": fitting,
            "weights_bytes": manifest.size_bytes,
            "kv_bytes": kv_bytes,
            "snapshot_bytes": snapshot_memory_bytes(settings, kv_bytes),
        }
    )
    # What is said here is nobody's conversation.
    alone = now.model_copy(update={"snapshot_disk_mb": 0})
    return load_engine(find_weights(manifest), manifest.id, alone, home / "cache")


async def _converse(
    request: Line, catalog: Catalog, manifest: ModelManifest, engine: Engine
) -> None:
    home = Path(request["home"])

    @asynccontextmanager
    async def lease(_: ModelManifest) -> AsyncIterator[Engine]:
        yield engine

    async def has_room(_: ModelManifest) -> bool:
        return True

    async def no_embedder(_: ModelManifest) -> Embedder:
        raise LocalAssistError("nothing is embedded here")

    modes = ProbedToolModes(home, validate_grammar)
    models = Models(catalog, lease, has_room, no_embedder, validate_grammar, modes)
    try:
        async with models.chat(manifest.id) as model:
            say({"step": "template"})
            _say_template(model, manifest, engine)
            say({"step": "answer"})
            await _say_answer(model, engine)
            say({"step": "speed"})
            await _say_speed(engine)
        say({"step": "tools"})
        async with models.chat(manifest.id, calls_functions=True) as model:
            found = ToolModeMemory(home).recall(manifest, engine.chat_template)
            say({"tool_mode": model.manifest.tool_mode, "found": found and found.reason})
    except LocalAssistError as error:
        say({"failed": error.message, "reasons": []})


def _say_template(model: ChatModel, manifest: ModelManifest, engine: Engine) -> None:
    template = model.prompts.template
    own = "manifest" if manifest.chat_template else "model" if engine.chat_template else "none"
    closing = _closing_text(model)
    tokens = engine.tokenize(closing, parse_special=True)
    ends = engine.end_tokens if isinstance(engine, LlamaEngine) else None
    say(
        {
            "template": own,
            "system": template.supports_system,
            "tools": template.supports_tools and template.supports_tool_calls,
            "writes_calls": model.writes_calls(ToolChoice()),
            "closing": engine.detokenize(tokens[:1]) if tokens else "",
            "is_end": None if ends is None else bool(tokens) and tokens[0] in ends,
        }
    )


def _closing_text(model: ChatModel) -> str:
    """What the template puts behind an answer."""
    answer = "answer7text"
    messages = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": answer}]
    shown = model.prompts.template.render(messages, add_generation_prompt=False)
    return shown.partition(answer)[2].lstrip()


async def _say_answer(model: ChatModel, engine: Engine) -> None:
    prompt = model.prompts.build([ChatMessage("user", _QUESTION)])
    sampling = model.sampling(0.0, None)
    text, finished, _, _ = await _generate(engine, prompt.token_ids, sampling, _ANSWER_TOKENS)
    say({"answer": text, "reason": finished.reason})


async def _say_speed(engine: Engine) -> None:
    """Tokens a second of a prompt that was never read before, and of what follows it."""
    wanted = min(_PREFILL_TOKENS, engine.context_length // 2)
    text = "".join(f"{number}. {_TEXT}" for number in range(wanted // 8))
    tokens = engine.tokenize(text, parse_special=False)[:wanted]
    greedy = SamplingParams(temperature=0.0)
    _, finished, first, whole = await _generate(engine, tokens, greedy, _DECODE_TOKENS)
    decoded = finished.usage.completion_tokens - 1
    say(
        {
            "prefill": len(tokens) / first,
            "decode": decoded / (whole - first) if decoded > 0 and whole > first else None,
            "read_tokens": len(tokens),
            "was_quiet": os.getloadavg()[0] < usable_cores() + 1,  # our own threads count
        }
    )


async def _generate(
    engine: Engine, tokens: Any, sampling: SamplingParams, most: int
) -> tuple[str, Finished, float, float]:
    """Text and end of an answer, and the seconds until its first token and until its end."""
    texts: list[str] = []
    first = 0.0
    started = time.perf_counter()
    request = Generate(tokens, replace(sampling, max_tokens=most))
    async with aclosing(engine.generate(request)) as items:
        async for item in items:
            first = first or time.perf_counter() - started
            if isinstance(item, Finished):
                return "".join(texts), item, first, time.perf_counter() - started
            texts.append(item.text)
    raise LocalAssistError("the answer has no end")


def try_embedder(request: Line) -> None:
    """Load an embedding model and compare a few texts."""
    _, manifest = _model(request)
    folder = find_weights(manifest).parent
    say({"step": "load"})
    asyncio.run(_embed(folder, Path(request["home"]) / "cache" / "embedders", request))


async def _embed(folder: Path, cache: Path, request: Line) -> None:
    before_bytes, started = _resident_bytes(), time.monotonic()
    try:
        embedder = await open_embedder(folder, cache, backend=request["embedder_backend"])
        say({"loaded_seconds": time.monotonic() - started, "dimensions": embedder.dimensions})
        say({"step": "embed"})
        vectors = await embedder.embed([*_ALIKE, _OTHER, _ALIKE[0]])
        alike, other = float(vectors[0] @ vectors[1]), float(vectors[0] @ vectors[2])
        again, length = float(vectors[0] @ vectors[3]), float((vectors[0] @ vectors[0]) ** 0.5)
        say({"alike": alike, "other": other, "again": again, "length": length})
        texts = [f"{number}. {_TEXT}" for number in range(32)]
        started = time.perf_counter()
        await embedder.embed(texts)
        seconds = time.perf_counter() - started
        resident = _resident_bytes()
        taken = resident - before_bytes if resident and before_bytes else None
        say({"texts": len(texts) / seconds, "window": embedder.max_tokens, "taken_bytes": taken})
        embedder.close()
    except LocalAssistError as error:
        say({"failed": error.message, "reasons": []})


def _model(request: Line) -> tuple[Catalog, ModelManifest]:
    catalog = Catalog(Path(request["home"]), ModelsSettings.model_validate(request["models"]))
    return catalog, catalog.get(request["name"])


@contextmanager
def _library_errors() -> Iterator[list[str]]:
    """What llama.cpp says of errors meanwhile: its return codes give no reasons."""
    lines: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            _, sign, reason = record.getMessage().partition("error loading model: ")
            if sign:
                lines.append(reason.strip())

    log, listener = logging.getLogger("localassist.engine.llama"), Listener()
    log.setLevel(logging.DEBUG)
    log.addHandler(listener)
    try:
        yield lines
    finally:
        log.removeHandler(listener)
        log.setLevel(logging.NOTSET)


def _resident_bytes() -> int | None:
    """Memory of this process; None where the system does not say."""
    try:
        with open("/proc/self/status", encoding="ascii") as lines:
            fields = dict(line.split(":", 1) for line in lines)
        return int(fields["VmRSS"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


def main() -> None:
    request = read_request()
    if request["kind"] == "chat":
        try_chat_model(request)
    else:
        try_embedder(request)


if __name__ == "__main__":
    main()
