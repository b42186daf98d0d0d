"""How soon does a warm server say its first word?

Prompts of about 60 and 1,800 tokens that begin like nothing before them, so that every token is
read. Compared in every turn: the bare loop reading as many tokens, a chat completion and a run on
our server, a chat completion on the servers of others.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import common, wire
from benchmarks.subjects import servers
from benchmarks.subjects.bare import bare_loop
from benchmarks.workload import reading

QUESTION = "How soon does a warm server say its first word?"
BARE, RUN = "bare", f"{servers.OURS}, a run"
_numbers = itertools.count(3000)


def chat(server: servers.Server, model: str, rules: int) -> wire.Streamed:
    messages = [{"role": "system", "content": reading(next(_numbers), rules)}]
    messages.append({"role": "user", "content": "Well?"})
    body: dict[str, Any] = {"model": model, "messages": messages, "max_tokens": 4}
    return asyncio.run(wire.stream_chat(server.base_url, {**body, "temperature": 0}))


def run(server: servers.Server, assistant_id: str, rules: int) -> wire.Streamed:
    """From the request that creates thread and run to the first text delta."""
    body = {
        "assistant_id": assistant_id,
        "instructions": reading(next(_numbers), rules),
        "thread": {"messages": [{"role": "user", "content": "Well?"}]},
        "temperature": 0,
        "max_completion_tokens": 256,  # the least a run may be given
    }
    return asyncio.run(wire.stream_run(server.base_url, "/threads/runs", body))


def main() -> None:
    options = common.options(QUESTION, repeats=7)
    sizes = (0,) if options.smoke else (0, 70)
    model = common.embedded_model()
    rows: list[common.Row] = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        loop = stack.enter_context(bare_loop(model))
        found = servers.open_servers(stack, model, Path(folder), peers=options.peers)
        ours = found[servers.OURS]
        made = asyncio.run(wire.post(ours.base_url, "/assistants", {"model": model.id}))
        for rules in sizes:
            length = [chat(server, model.id, rules).prompt_tokens for server in found.values()][0]
            seconds: dict[str, list[float]] = {name: [] for name in (*found, RUN, BARE)}
            for _, name in common.in_turns(tuple(seconds), options.repeats):
                if name == BARE:
                    first = loop.ask("prefill", lengths=[length])
                elif name == RUN:
                    first = run(ours, made["id"], rules).first_token
                else:
                    first = chat(found[name], model.id, rules).first_token
                seconds[name].append(first)
            rows += [
                {
                    "prompt tokens": length,
                    "subject": name,
                    "first token s": common.spread(readings),
                    "our chat / it": common.ratio(seconds[servers.OURS], readings),
                }
                for name, readings in seconds.items()
            ]
        memory = common.memory_mb(ours.pid, peak=True)
    environment = common.environment(model)
    common.report(QUESTION, rows, environment=environment, peak_memory_mb=memory)


if __name__ == "__main__":
    main()
