"""Does a next turn stay quick over HTTP when conversations take turns, and after a restart?

Six threads share one system prompt of about 1,500 tokens and speak in turn, on our server and those
of others; then our server is started again over the same data folder and every thread speaks once
more. The limit is the bare loop reading the new tokens behind the known ones. llama-server is
measured with its default of four slots, and with a slot and a context for every thread.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import common, wire
from benchmarks.subjects import servers
from benchmarks.subjects.bare import bare_loop
from benchmarks.subjects.process import Subject
from benchmarks.workload import messages, question, shop

QUESTION = "Does a next turn stay quick over HTTP when conversations take turns?"
ROOMY = f"{servers.LLAMA_SERVER}, a slot for each"
Threads = list[list[dict[str, Any]]]
BARE, RESTARTED = "bare, new tokens", "after a restart"


@dataclass(slots=True)
class Readings:
    """Of one subject: the median and the longest first token of each turn, repeat by repeat."""

    medians: dict[Any, list[float]] = field(default_factory=dict)
    longest: dict[Any, list[float]] = field(default_factory=dict)
    cached: dict[Any, list[float]] = field(default_factory=dict)

    def add(self, turn: Any, firsts: list[float], answers: list[wire.Streamed]) -> None:
        shares = [one.cached_tokens / one.prompt_tokens for one in answers if one.prompt_tokens]
        self.medians.setdefault(turn, []).append(common.median(firsts))
        self.longest.setdefault(turn, []).append(max(firsts))
        self.cached.setdefault(turn, []).append(common.median(shares or [0.0]))


async def speak(
    server: servers.Server, model: str, threads: Threads, turn: int, tokens: int
) -> list[wire.Streamed]:
    """One turn of every thread, one after another; the answers become part of the threads."""
    answers = []
    for i, thread in enumerate(threads):
        thread.append({"role": "user", "content": question(i, turn)})
        body = {"model": model, "messages": thread, "max_tokens": tokens, "temperature": 0}
        answer = await wire.stream_chat(server.base_url, body)
        thread.append({"role": "assistant", "content": answer.text})
        answers.append(answer)
    return answers


def greet(server: servers.Server, model: str) -> None:
    """The first request of all is slow: a model may be loaded by it."""
    body = {"model": model, "messages": messages("Say hello."), "max_tokens": 4}
    asyncio.run(wire.stream_chat(server.base_url, body))


def read_bare(loop: Subject, answers: list[wire.Streamed]) -> list[float]:
    """Seconds of the bare loop for what a server read of each prompt."""
    firsts = []
    for answer in answers:
        known = answer.cached_tokens
        loop.ask("prefill", lengths=[known] if known else [])
        firsts.append(loop.ask("prefill", lengths=[answer.prompt_tokens], known=known))
    return firsts


def converse(
    stack: ExitStack,
    found: dict[str, servers.Server],
    model: common.Model,
    sizes: dict[str, int],
    readings: dict[str, Readings],
) -> Threads:
    """All turns on all servers, turn by turn, and the bare loop beside ours; our threads."""
    loop = stack.enter_context(bare_loop(model))
    begin = messages("", shop(sizes["rules"]))[:1]
    threads = {name: [list(begin) for _ in range(sizes["threads"])] for name in found}
    for server in found.values():
        greet(server, model.id)
    for turn, name in common.in_turns(tuple(found), sizes["turns"]):
        answers = asyncio.run(speak(found[name], model.id, threads[name], turn, sizes["tokens"]))
        firsts = [answer.first_token for answer in answers]
        readings.setdefault(name, Readings()).add(turn + 1, firsts, answers)
        if name == servers.OURS:
            bare = read_bare(loop, answers)
            readings.setdefault(BARE, Readings()).add(turn + 1, bare, answers)
    return threads[servers.OURS]


def main() -> None:
    options = common.options(QUESTION, repeats=3)
    sizes = {"threads": 6, "turns": 4, "rules": 60, "tokens": 24}
    if options.smoke:
        sizes = {"threads": 2, "turns": 2, "rules": 8, "tokens": 4}
    model = common.embedded_model()
    readings: dict[str, Readings] = {}
    for _ in range(options.repeats):  # fresh servers: nothing is cached yet
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            with ExitStack() as stack:
                found = servers.open_servers(stack, model, home, peers=options.peers, sequences=4)
                if servers.LLAMA_SERVER in found:
                    roomy = servers.llama_server(model, slots=8, context=8 * 8192)
                    found[ROOMY] = stack.enter_context(roomy)
                threads = converse(stack, found, model, sizes, readings)
            with servers.our_server(model, home / "ours") as server:
                greet(server, model.id)
                again = asyncio.run(speak(server, model.id, threads, sizes["turns"], 24))
            readings[servers.OURS].add(RESTARTED, [one.first_token for one in again], again)
    report(readings, sizes, model)


def report(readings: dict[str, Readings], sizes: dict[str, int], model: common.Model) -> None:
    turns = sizes["turns"]
    ours = readings[servers.OURS].medians
    rows: list[common.Row] = [
        {
            "turn": turn,
            "subject": name,
            "first token, median s": common.spread(of_it.medians[turn]),
            "longest s": common.median(of_it.longest[turn]),
            "prompt from cache": common.median(of_it.cached[turn]),
            "ours / it": common.ratio(ours[turn], of_it.medians[turn]),
        }
        for turn in (*range(1, turns + 1), RESTARTED)
        for name, of_it in readings.items()
        if turn in of_it.medians
    ]
    measured = {
        "followup/flat": common.ratio(ours[turns], ours[2]),
        "followup/restart": common.ratio(ours[RESTARTED], ours[turns]),
    }
    for key, left_out in {"best peer": ROOMY, "best peer, roomy": ""}.items():
        peers = [
            of_it.medians[turns]
            for name, of_it in readings.items()
            if name not in (servers.OURS, BARE, left_out)
        ]
        if peers:
            best = [min(repeat) for repeat in zip(*peers, strict=True)]
            measured[f"followup/{key}"] = common.ratio(ours[turns], best)
    common.report(
        QUESTION, rows, environment=common.environment(model), measured=measured, sizes=sizes
    )


if __name__ == "__main__":
    main()
