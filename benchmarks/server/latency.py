"""How soon does a warm server say its first word?

Prompts of about 50 and 1,500 tokens that begin like nothing before them, so every token is read.
Compared in every turn: the bare loop reading the same number of tokens, a chat completion and a run
on our server, a chat completion on llama-cpp-python's server.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import common, wire
from benchmarks.engine.bare_loop import BareLoop
from benchmarks.workload import reading

QUESTION = "How soon does a warm server say its first word?"
SUBJECTS = ("bare", "chat", "run", "peer chat")
_numbers = itertools.count(3000)


def chat_body(model: str, text: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {"model": model, "messages": messages, "max_tokens": 4, "temperature": 0}


async def first_token_of_run(server: common.Server, assistant_id: str, text: str) -> float:
    """From the request that creates thread and run to the first text delta."""
    body = {
        "assistant_id": assistant_id,
        "thread": {"messages": [{"role": "user", "content": text}]},
        "temperature": 0,
        "max_completion_tokens": 256,  # the least a run may be given
    }
    return (await wire.stream_run(server.base_url, "/threads/runs", body)).first_token


async def measure(
    model: common.Model,
    ours: common.Server,
    peer: common.Server | None,
    *,
    sizes: Sequence[int],
    repeats: int,
) -> list[common.Row]:
    loop = BareLoop(model)
    assistant = await wire.post(ours.base_url, "/assistants", {"model": model.id})

    async def turn(rules: int) -> tuple[dict[str, float], int]:
        """Seconds by subject, and how many tokens the prompt has."""
        body = chat_body(model.id, reading(next(_numbers), rules))
        chat = await wire.stream_chat(ours.base_url, body)
        run = await first_token_of_run(ours, assistant["id"], reading(next(_numbers), rules))
        seconds = {"chat": chat.first_token, "run": run}
        new = chat.prompt_tokens - chat.cached_tokens
        seconds["bare"] = loop.prefill([range(100, 100 + new)])
        if peer is not None:
            text = reading(next(_numbers), rules)
            answer = await wire.stream_chat(peer.base_url, chat_body(model.id, text))
            seconds["peer chat"] = answer.first_token
        return seconds, chat.prompt_tokens

    await turn(sizes[0])
    rows = []
    for rules in sizes:
        found = [await turn(rules) for _ in range(repeats)]
        rows.append(summary(found[0][1], [seconds for seconds, _ in found]))
    loop.close()
    return rows


def summary(prompt_tokens: int, turns: list[dict[str, float]]) -> common.Row:
    row: common.Row = {"prompt tokens": prompt_tokens}
    for subject in SUBJECTS:
        readings = [turn[subject] * 1000 for turn in turns if subject in turn]
        row[f"{subject} ms"] = common.median(readings) if readings else None
    row["chat / bare"] = common.median([turn["chat"] / turn["bare"] for turn in turns])
    row["run - chat ms"] = common.median([(turn["run"] - turn["chat"]) * 1000 for turn in turns])
    against = [turn["chat"] / turn["peer chat"] for turn in turns if "peer chat" in turn]
    row["chat / peer"] = common.median(against) if against else None
    row["± of chat"] = common.spread([turn["chat"] for turn in turns])
    return row


def main() -> None:
    options = common.options(QUESTION, repeats=7)
    sizes = (0,) if options.smoke else (0, 70)
    model = common.embedded_model()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        ours = stack.enter_context(common.our_server(model, Path(folder, "ours")))
        peer = None
        if not options.smoke:
            peer = stack.enter_context(common.peer_server(model, Path(folder, "peer")))
        rows = asyncio.run(measure(model, ours, peer, sizes=sizes, repeats=options.repeats))
        memory = common.peak_rss_mb(ours.pid)
    common.report(QUESTION, rows, environment=common.environment(model), peak_rss_mb=memory)


if __name__ == "__main__":
    main()
