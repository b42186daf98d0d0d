"""Does a next turn stay quick over HTTP when conversations take turns?

Six conversations share one system prompt of about 1,500 tokens and speak in turn: chat completions
on our server and on llama-cpp-python's. See ``engine/followup.py`` for the same without a server.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks import common, wire
from benchmarks.workload import question, shop

QUESTION = "Does a next turn stay quick over HTTP when conversations take turns?"
Turns = list[list[wire.Streamed]]


async def converse(
    server: common.Server, model: str, *, threads: int, turns: int, rules: int, tokens: int
) -> Turns:
    """Every answer, by turn."""
    system = {"role": "system", "content": shop(rules)}
    conversations = [[system] for _ in range(threads)]
    found: Turns = []
    for turn in range(turns):
        answers = []
        for i, messages in enumerate(conversations):
            messages.append({"role": "user", "content": question(i, turn)})
            body = {"model": model, "messages": messages, "max_tokens": tokens, "temperature": 0}
            answer = await wire.stream_chat(server.base_url, body)
            messages.append({"role": "assistant", "content": answer.text})
            answers.append(answer)
        found.append(answers)
    return found


def summary(turn: int, ours: list[wire.Streamed], peer: list[wire.Streamed]) -> common.Row:
    readings = [answer.first_token for answer in ours]
    row: common.Row = {
        "turn": turn,
        "first token, median s": common.median(readings),
        "p95 s": common.percentile(readings, 95),
        "prompt from cache, median": common.median(
            [answer.cached_tokens / answer.prompt_tokens for answer in ours]
        ),
        "peer s": None,
        "ours / peer": None,
    }
    if peer:
        row["peer s"] = common.median([answer.first_token for answer in peer])
        row["ours / peer"] = row["first token, median s"] / row["peer s"]
    return row


def main() -> None:
    options = common.options(QUESTION, repeats=2)
    sizes = {"threads": 6, "turns": 4, "rules": 60, "tokens": 24}
    if options.smoke:
        sizes = {"threads": 2, "turns": 2, "rules": 8, "tokens": 4}
    model = common.embedded_model()
    ours: Turns = [[] for _ in range(sizes["turns"])]
    theirs: Turns = [[] for _ in range(sizes["turns"])]
    for _ in range(options.repeats):  # fresh servers: nothing is cached from the turn before
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            server = stack.enter_context(common.our_server(model, Path(folder, "ours")))
            pairs = [(server, ours)]
            if not options.smoke:
                peer = stack.enter_context(common.peer_server(model, Path(folder, "peer")))
                pairs += [] if peer is None else [(peer, theirs)]
            for subject, found in pairs:
                hello = [{"role": "user", "content": "Hello"}]
                body = {"model": model.id, "messages": hello, "max_tokens": 4}
                asyncio.run(wire.stream_chat(subject.base_url, body))
                for turn, answers in enumerate(asyncio.run(converse(subject, model.id, **sizes))):
                    found[turn] += answers
    rows = [summary(turn + 1, a, b) for turn, (a, b) in enumerate(zip(ours, theirs, strict=True))]
    common.report(QUESTION, rows, environment=common.environment(model), **sizes)


if __name__ == "__main__":
    main()
