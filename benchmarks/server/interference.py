"""How much does a long prompt disturb the answers beside it?

Streams run; after a quiet while a prompt of about 4,000 tokens is sent beside them. The gaps
between the events of a stream while that prompt is read, against those of the quiet while before,
on our server and those of others. A server that lets the prompt wait shows no gaps: see how long
the prompt's own first token takes.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import common, wire
from benchmarks.subjects import servers
from benchmarks.workload import messages, reading, story

QUESTION = "How much does a long prompt disturb the answers beside it?"
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Gaps:
    """Seconds between events of one stream, before and while the prompt was read; how long that
    took; and its tokens."""

    quiet: list[float]
    beside: list[float]
    first_token: float
    prompt_tokens: int


async def disturb(
    server: servers.Server, model: str, streams: int, tokens: int, rules: int
) -> Gaps:
    """The streams, the long prompt when they have run a while; then they are cut off."""

    def body(text: str, limit: int) -> dict[str, Any]:
        asked = {"model": model, "messages": messages(text), "temperature": 0}
        return {**asked, "max_tokens": limit}

    recordings = [wire.Recording() for _ in range(streams)]
    tasks = [
        asyncio.create_task(
            wire.record_chat(server.base_url, body(story(next(_numbers)), tokens), recording)
        )
        for recording in recordings
    ]
    for _ in range(tokens // 6):
        await asyncio.wait_for(recordings[0].arrived.acquire(), 120)
    sent = perf_counter()
    long = await wire.stream_chat(server.base_url, body(reading(next(_numbers), rules), 4))
    answered = sent + long.first_token
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    before, during = [], []
    for recording in recordings:
        times = [recording.started + at for at in wire.text_times(recording)]
        for earlier, later in itertools.pairwise(times):
            if later < sent:
                before.append(later - earlier)
            elif earlier < answered:
                during.append(later - earlier)
    return Gaps(before, during, long.first_token, long.prompt_tokens)


def main() -> None:
    options = common.options(QUESTION, repeats=3)
    at_once, tokens, rules = ((2,), 60, 12) if options.smoke else ((1, 4), 600, 155)
    model = common.embedded_model()
    rows: list[common.Row] = []
    measured: dict[str, common.Spread] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        found = servers.open_servers(stack, model, Path(folder), peers=options.peers)
        for streams in at_once:
            all_gaps: dict[str, list[Gaps]] = {name: [] for name in found}
            for _, name in common.in_turns(tuple(found), options.repeats):
                gaps = asyncio.run(disturb(found[name], model.id, streams, tokens, rules))
                all_gaps[name].append(gaps)
            for name, readings in all_gaps.items():
                row = summary(name, streams, readings)
                rows.append(row)
                if name == servers.OURS:
                    measured[f"interference/{streams}"] = row["p95 / quiet"]
    common.report(QUESTION, rows, environment=common.environment(model), measured=measured)


def summary(name: str, streams: int, readings: list[Gaps]) -> common.Row:
    quiet = [common.median(gaps.quiet) for gaps in readings]
    # One stream that waits out the whole prompt has no gap beside it that ended in time.
    beside = [
        common.percentile(gaps.beside, 95) if gaps.beside else gaps.first_token for gaps in readings
    ]
    return {
        "streams": streams,
        "subject": name,
        "quiet gap, median ms": common.median(quiet) * 1000,
        "beside, p95 ms": common.median(beside) * 1000,
        "p95 / quiet": common.ratio(beside, quiet),
        "gaps beside": sum(len(gaps.beside) for gaps in readings),
        "prompt tokens": readings[0].prompt_tokens or None,
        "its first token s": common.median([gaps.first_token for gaps in readings]),
    }


if __name__ == "__main__":
    main()
