"""What does a conversation cost in memory?

Conversations that share long instructions are held one after another, then their number is doubled:
the growth between the two is the price of one more. In the embedded engine also in KV cells, where
the limit is what each conversation has for itself; then every server, over HTTP.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks import common, wire
from benchmarks.engine.followup import speak
from benchmarks.subjects import servers as server_subjects
from benchmarks.subjects.embedded import embedded_engine
from benchmarks.workload import messages, question, shop

QUESTION = "What does a conversation cost in memory?"


def in_engine(model: common.Model, conversations: int, rules: int, tokens: int) -> common.Row:
    """Cells and memory of one more conversation, and its own tokens."""
    with embedded_engine(model) as engine:
        begin = engine.ask("tokenize", text=f"<|im_start|>system\n{shop(rules)}")
        states, own = [], 0.0
        for i in range(2 * conversations):
            if i in (0, conversations):
                states.append(engine.ask("state"))
            conversation = list(begin)
            speak(engine, conversation, question(i, 0), tokens)
            own = len(conversation) - len(begin)
        _, half, full = *states, engine.ask("state")
    cells = full["counters"]["used_cells"] - half["counters"]["used_cells"]
    return {
        "subject": "embedded engine",
        "MB": full["memory_mb"],
        "MB more for one": (full["memory_mb"] - half["memory_mb"]) / conversations,
        "KV cells more for one": cells / conversations,
        "tokens of its own": own,
    }


async def over_http(
    name: str, server: server_subjects.Server, conversations: int, rules: int, tokens: int
) -> common.Row:
    async def hold(first: int) -> float:
        for i in range(first, first + conversations):
            body = {"model": name, "messages": messages(question(i, 0), shop(rules))}
            await wire.stream_chat(
                server.base_url, {**body, "max_tokens": tokens, "temperature": 0}
            )
        return common.memory_mb(server.pid) or 0.0

    half, full = await hold(0), await hold(conversations)
    return {
        "subject": name,
        "MB": full,
        "MB more for one": (full - half) / conversations,
        "KV cells more for one": None,
        "tokens of its own": None,
    }


def main() -> None:
    options = common.options(QUESTION, repeats=1)
    conversations, rules, tokens = (2, 8, 4) if options.smoke else (12, 60, 24)
    model = common.embedded_model()
    rows = [in_engine(model, conversations, rules, tokens)]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        servers = server_subjects.open_servers(stack, model, Path(folder), peers=options.peers)
        for name, server in servers.items():
            subject = model.id if name == server_subjects.OURS else name
            row = asyncio.run(over_http(subject, server, conversations, rules, tokens))
            rows.append({**row, "subject": f"{name}, server"})
    common.report(
        QUESTION, rows, environment=common.environment(model), conversations=2 * conversations
    )


if __name__ == "__main__":
    main()
