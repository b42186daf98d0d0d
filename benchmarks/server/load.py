"""Does the server hold under load?

Clients that talk without a pause: a thread, a message, a streamed run, a look at run and messages,
up to five turns, then the thread is deleted. Once with very many clients and a scripted model,
which leaves the service alone, and once with the embedded model. Counted are all requests that
failed and how runs ended; timed are above all the requests that need no model.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import common, wire
from benchmarks.subjects import servers

QUESTION = "Does the server hold under load?"
TURNS = 5
SAMPLE_SECONDS = 1.0
MODEL_FREE = ("create thread", "create message", "look at run", "list messages", "delete thread")


@dataclass
class Tally:
    """What came of the requests of all clients: seconds by kind, refusals by kind and status,
    runs by how they ended, and the server's memory over time in MB."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    memory: list[float] = field(default_factory=list)

    async def ask(
        self, server: servers.Server, kind: str, method: str, path: str, body: Any = None
    ) -> Any:
        """The answer; None when it is an error."""
        started = perf_counter()
        try:
            answer = await wire.ask(server.base_url, method, path, body)
        except (wire.Refused, OSError, asyncio.IncompleteReadError) as error:
            self.errors[f"{kind}: {error}"[:160]] += 1
            await asyncio.sleep(0.1)
            return None
        self.seconds[kind].append(perf_counter() - started)
        return answer


async def talk(server: servers.Server, assistant_id: str, tally: Tally, until: float) -> None:
    """One client, thread after thread."""
    while perf_counter() < until:
        thread = await tally.ask(server, "create thread", "POST", "/threads", {})
        if thread is None:
            continue
        path = f"/threads/{thread['id']}"
        for turn in range(TURNS):
            if perf_counter() > until:
                break
            said = {"role": "user", "content": f"What is sight number {turn} of the coast?"}
            await tally.ask(server, "create message", "POST", f"{path}/messages", said)
            await follow(server, assistant_id, path, tally)
            await tally.ask(server, "list messages", "GET", f"{path}/messages")
        await tally.ask(server, "delete thread", "DELETE", path)


async def follow(server: servers.Server, assistant_id: str, path: str, tally: Tally) -> None:
    body = {"assistant_id": assistant_id, "temperature": 0, "max_completion_tokens": 256}
    started = perf_counter()
    try:
        streamed = await wire.stream_run(server.base_url, f"{path}/runs", body)
    except (wire.Refused, RuntimeError, OSError, asyncio.IncompleteReadError) as error:
        tally.errors[f"run: {error}"[:160]] += 1
        return
    tally.seconds["run"].append(perf_counter() - started)
    tally.seconds["run: first text"].append(streamed.first_token)
    found = await tally.ask(server, "look at run", "GET", f"{path}/runs?limit=1")
    tally.ends[found["data"][0]["status"] if found else "unknown"] += 1


async def load(server: servers.Server, model_id: str, clients: int, seconds: float) -> Tally:
    tally = Tally()
    made = await wire.post(server.base_url, "/assistants", {"model": model_id})
    until = perf_counter() + seconds

    async def watch() -> None:
        while True:
            tally.memory.append(common.memory_mb(server.pid) or 0.0)
            await asyncio.sleep(SAMPLE_SECONDS)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(talk(server, made["id"], tally, until) for _ in range(clients)))
    watching.cancel()
    return tally


def rows_of(subject: str, tally: Tally) -> Iterator[common.Row]:
    for kind in (*MODEL_FREE, "run: first text", "run"):
        if values := tally.seconds[kind]:
            yield {
                "subject": subject,
                "request": kind,
                "count": len(values),
                "p50 ms": common.percentile(values, 50) * 1000,
                "p99 ms": common.percentile(values, 99) * 1000,
                "most ms": max(values) * 1000,
            }


def summary(tally: Tally, clients: int, seconds: float) -> common.Row:
    model_free = [value for kind in MODEL_FREE for value in tally.seconds[kind]]
    memory = tally.memory
    quarters = [memory[len(memory) * part // 4] for part in range(4)]
    return {
        "clients": clients,
        "seconds": seconds,
        "requests": sum(map(len, tally.seconds.values())) - len(tally.seconds["run"]),
        "errors": dict(tally.errors),
        "runs": dict(tally.ends),
        "without a model p50 ms": common.percentile(model_free, 50) * 1000,
        "without a model p99 ms": common.percentile(model_free, 99) * 1000,
        "memory MB at 0, 25, 50, 75, 100 %": [round(mb) for mb in (*quarters, memory[-1])],
    }


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=300, help="how long each load lasts")
    parser.add_argument("--clients", type=int, default=200, help="of the scripted model")
    parser.add_argument("--real-clients", type=int, default=20, help="of the embedded model")


@contextmanager
def opened(name: str, model: common.Model, home: Path) -> Iterator[servers.Server]:
    if name == "scripted model":
        with servers.scripted_server(home) as server:
            yield server
    else:
        with servers.our_server(model, home) as server:
            yield server


def main() -> None:
    options = common.options(QUESTION, repeats=1, add=add_options)
    seconds = 3.0 if options.smoke else options.seconds
    crowds = {"scripted model": options.clients, "embedded model": options.real_clients}
    if options.smoke:
        crowds = dict.fromkeys(crowds, 2)
    model = common.embedded_model()
    rows: list[common.Row] = []
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, clients in crowds.items():
            with opened(name, model, Path(folder, name)) as server:
                tally = asyncio.run(load(server, model.id, clients, seconds))
            rows += rows_of(name, tally)
            found[name] = summary(tally, clients, seconds)
            print(json.dumps({name: found[name]}), flush=True)
    common.report(QUESTION, rows, environment=common.environment(model), measured=found)


if __name__ == "__main__":
    main()
