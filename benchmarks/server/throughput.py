"""How fast do answers stream over HTTP?

1, 4 and 8 chat completions at once with the model's own sampling. Compared in every turn: the bare
decode loop on the same prompts, our engine in this process, our server, llama-cpp-python's server.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import common, wire
from benchmarks.engine.bare_loop import BareLoop
from benchmarks.engine.throughput import answer, fresh_prompt, open_engine
from benchmarks.workload import story
from localassist.core import SamplingParams

QUESTION = "How fast do answers stream over HTTP?"
SUBJECTS = ("bare", "in process", "http", "peer")
_numbers = itertools.count(5000)


async def over_http(server: common.Server, model: str, streams: int, tokens: int) -> float:
    """Tokens per second of all streams together, prompts included."""

    def body() -> dict[str, Any]:
        messages = [{"role": "user", "content": story(next(_numbers))}]
        sampling = {"temperature": 0.2, "top_p": 0.9, "seed": 7, "stop": ["<end of story>"]}
        return {"model": model, "messages": messages, "max_tokens": tokens, **sampling}

    bodies = [body() for _ in range(streams)]
    started = perf_counter()
    answers = await asyncio.gather(*(wire.stream_chat(server.base_url, one) for one in bodies))
    # The end is the last event, not the parsing of what was recorded.
    wall = max(one.wall for one in answers)
    assert wall <= perf_counter() - started
    return sum(one.tokens for one in answers) / wall


def summary(streams: int, rates: dict[str, list[float]]) -> common.Row:
    """Medians of the rates, and of the ratios within a turn."""

    def ratio(of: str, to: str) -> float | None:
        if not (rates[of] and rates[to]):
            return None
        return common.median([a / b for a, b in zip(rates[of], rates[to], strict=True)])

    row: common.Row = {"streams": streams}
    row |= {f"{s} tok/s": common.median(rates[s]) if rates[s] else None for s in SUBJECTS}
    row["http / in process"] = ratio("http", "in process")
    row["http / bare"] = ratio("http", "bare")
    row["http / peer"] = ratio("http", "peer")
    row["± of http"] = common.spread(rates["http"])
    return row


async def measure(
    model: common.Model,
    ours: common.Server,
    peer: common.Server | None,
    *,
    repeats: int,
    tokens: int,
    at_once: Sequence[int],
) -> list[common.Row]:
    engine, loop = open_engine(model), BareLoop(model)
    sampling = SamplingParams(**{**model.sampling, "max_tokens": tokens})
    sampling = replace(sampling, seed=7, stop=("<end of story>",))
    await answer(engine, [fresh_prompt(engine)], replace(sampling, max_tokens=4))
    servers = {"http": ours} | ({} if peer is None else {"peer": peer})
    for server in servers.values():
        await over_http(server, model.id, 1, 4)
    rows = []
    for streams in at_once:
        rates: dict[str, list[float]] = {subject: [] for subject in SUBJECTS}
        for _ in range(repeats):
            prompts = [fresh_prompt(engine) for _ in range(streams)]
            rates["bare"].append(streams * tokens / loop.answer(prompts, tokens))
            seconds, produced = await answer(engine, prompts, sampling)
            rates["in process"].append(produced / seconds)
            for name, server in servers.items():
                rates[name].append(await over_http(server, model.id, streams, tokens))
        rows.append(summary(streams, rates))
    await engine.close()
    loop.close()
    return rows


def main() -> None:
    options = common.options(QUESTION, repeats=5)
    tokens, at_once = (8, (1, 4)) if options.smoke else (64, (1, 4, 8))
    model = common.embedded_model()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        ours = stack.enter_context(common.our_server(model, Path(folder, "ours")))
        peer = None
        if not options.smoke:
            peer = stack.enter_context(common.peer_server(model, Path(folder, "peer")))
        rows = asyncio.run(
            measure(model, ours, peer, repeats=options.repeats, tokens=tokens, at_once=at_once)
        )
        memory = {"http": common.peak_rss_mb(ours.pid)}
        if peer is not None:
            memory["peer"] = common.peak_rss_mb(peer.pid)
    common.report(QUESTION, rows, environment=common.environment(model), peak_rss_mb=memory)


if __name__ == "__main__":
    main()
