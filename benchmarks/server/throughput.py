"""How fast do answers stream over HTTP?

1, 4, 8 and 16 short chats at once, 64 tokens each, on our server and those of others; the bare
decode loop takes as many steps behind prompts of the same lengths. Greedy, and with sampling and a
stop string.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import common, wire, workload
from benchmarks.subjects import servers
from benchmarks.subjects.bare import bare_loop
from benchmarks.subjects.process import Subject

QUESTION = "How fast do answers stream over HTTP?"
WAYS: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0},
    "sampled": {"temperature": 0.7, "top_p": 0.9, "seed": 7, "stop": ["<end of story>"]},
}
STEPS, WHOLE = "bare steps", "bare, prompts too"
_numbers = itertools.count()
Rates = dict[str, list[float]]


async def stream(
    server: servers.Server, model: str, sampling: dict[str, Any], streams: int, tokens: int
) -> list[wire.Streamed]:
    """All answers, asked at once. The numbers go on, so that no prompt is asked twice."""
    bodies = [
        {
            "model": model,
            "messages": workload.messages(workload.story(next(_numbers))),
            "max_tokens": tokens,
            **sampling,
        }
        for _ in range(streams)
    ]
    return await asyncio.gather(*(wire.stream_chat(server.base_url, one) for one in bodies))


def rate(answers: list[wire.Streamed]) -> float:
    """Tokens a second of all together, prompts included: until the last event, not its parsing."""
    return sum(one.tokens for one in answers) / max(one.wall for one in answers)


def measure(
    found: dict[str, servers.Server],
    loop: Subject,
    model: str,
    way: str,
    streams: int,
    tokens: int,
    repeats: int,
) -> tuple[Rates, Rates]:
    """Tokens a second by subject, and the median first token of every server's repeats."""
    rates: Rates = {name: [] for name in (*found, STEPS, WHOLE)}
    firsts: Rates = {name: [] for name in found}
    warm = [asyncio.run(stream(one, model, WAYS[way], 1, 4)) for one in found.values()]
    length = warm[0][0].prompt_tokens
    for _, name in common.in_turns((*found, STEPS), repeats):
        if name == STEPS:
            reading, steps = loop.ask("answer", lengths=[length] * streams, tokens=tokens)
            rates[STEPS].append(streams * (tokens - 1) / steps)
            rates[WHOLE].append(streams * tokens / (reading + steps))
        else:
            answers = asyncio.run(stream(found[name], model, WAYS[way], streams, tokens))
            rates[name].append(rate(answers))
            firsts[name].append(common.median([one.first_token for one in answers]))
    return rates, firsts


def rows_of(way: str, streams: int, rates: Rates, firsts: Rates) -> list[common.Row]:
    ours = rates[servers.OURS]
    return [
        {
            "chosen": way,
            "streams": streams,
            "subject": name,
            "tok/s": common.spread(readings),
            "first token s": common.median(firsts[name]) if name in firsts else None,
            "ours / it": None if readings is ours else common.ratio(ours, readings),
        }
        for name, readings in rates.items()
    ]


def measured_of(rates: Rates) -> dict[str, common.Spread]:
    """The ratios that the targets are about."""
    ours = rates[servers.OURS]
    found = {"streams/bare": common.ratio(ours, rates[STEPS])}
    found["streams/bare with prompts"] = common.ratio(ours, rates[WHOLE])
    if others := [rates[name] for name in rates if name not in (servers.OURS, STEPS, WHOLE)]:
        best = [max(readings) for readings in zip(*others, strict=True)]
        found["streams/best peer"] = common.ratio(ours, best)
    return found


def main() -> None:
    options = common.options(QUESTION, repeats=5)
    tokens, at_once = (8, (1, 4)) if options.smoke else (64, (1, 4, 8, 16))
    model = common.embedded_model()
    rows: list[common.Row] = []
    measured: dict[str, common.Spread] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        loop = stack.enter_context(bare_loop(model))
        found = servers.open_servers(
            stack, model, Path(folder), peers=options.peers, sequences=max(at_once)
        )
        for way in WAYS:
            for streams in at_once:
                rates, firsts = measure(
                    found, loop, model.id, way, streams, tokens, options.repeats
                )
                rows += rows_of(way, streams, rates, firsts)
                if way == "sampled" and streams <= 8:
                    measured = measured_of(rates)
        memory = {name: common.memory_mb(one.pid, peak=True) for name, one in found.items()}
    common.report(
        QUESTION,
        rows,
        environment=common.environment(model),
        peak_memory_mb=memory,
        measured=measured,
    )


if __name__ == "__main__":
    main()
