"""Many conversations, several turns each, requests cancelled at random: all others get what they
would get alone, no cell is lost and memory does not grow."""

from __future__ import annotations

import asyncio
import gc
import os
import random
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from localassist.core import SamplingParams
from localassist.engine import EngineSettings, Finished, Generate, LlamaEngine, load_engine
from localassist.engine.scripted_backend import END_TOKEN, ScriptedBackend, hashed_letters

AT_ONCE = 24
Check = Callable[[list[int], list[int]], None]


async def turn(
    engine: LlamaEngine, prompt: list[int], max_tokens: int, cancel_after: int | None
) -> list[int] | None:
    """The answer's tokens; None when it was given up after some pieces."""
    sampling = SamplingParams(temperature=0, max_tokens=max_tokens)
    tokens: list[int] = []
    pieces = 0
    async with aclosing(engine.generate(Generate(prompt, sampling))) as items:
        async for item in items:
            if isinstance(item, Finished):
                return tokens
            tokens += item.token_ids
            pieces += 1
            if pieces == cancel_after:
                return None
    raise AssertionError("a generation ends with Finished")


async def soak(
    engine: LlamaEngine,
    instructions: list[list[int]],
    *,
    conversations: int,
    turns: int,
    max_tokens: int,
    check: Check = lambda prompt, answer: None,
    after_turn: Callable[[], None] = lambda: None,
) -> int:
    """All conversations take their turns, in random order within a turn; returns the cancels."""
    chance = random.Random(7)
    histories = [list(chance.choice(instructions)) for _ in range(conversations)]
    places = asyncio.Semaphore(AT_ONCE)
    cancels = 0

    async def one(index: int, number: int) -> None:
        nonlocal cancels
        history = histories[index]
        history += engine.tokenize(f" {index}: question {number}?", parse_special=False)
        cancel_after = chance.randrange(1, 5) if chance.random() < 0.25 else None
        async with places:
            answer = await turn(engine, history, max_tokens, cancel_after)
        if answer is None:
            cancels += 1
            return
        check(history, answer)
        history += answer

    for number in range(turns):
        order = list(range(conversations))
        chance.shuffle(order)
        await asyncio.gather(*(one(index, number) for index in order))
        after_turn()
    return cancels


async def assert_nothing_is_held(engine: LlamaEngine) -> None:
    """Waits until the worker rests, so that its cells can be looked at from here."""
    while engine._worker._has_unsaved or engine.counters.running:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    counters = engine.counters
    assert counters.running == counters.waiting == counters.pinned_cells == 0
    scheduler = engine._worker.scheduler
    scheduler.check_integrity()
    while scheduler.cache.evict():
        pass
    assert scheduler.kv.used_cells == 0


async def test_many_short_conversations(tmp_path: Path) -> None:
    backend = ScriptedBackend(context_length=400, cells=900, sequence_ids=40)
    settings = EngineSettings(max_sequences=8, cached_segments=32, idle_cells=200)
    engine = LlamaEngine(lambda: backend, "x", settings, snapshot_folder=tmp_path)

    def check(prompt: list[int], answer: list[int]) -> None:
        tokens = list(prompt)
        while len(tokens) < len(prompt) + 12 and (token := hashed_letters(tokens)) != END_TOKEN:
            tokens.append(token)
        assert answer == tokens[len(prompt) :]

    instructions = [list(b"You help. " * 8), list(b"You help. " * 4 + b"Briefly."), list(b"Hi.")]
    cancels = await soak(
        engine, instructions, conversations=60, turns=4, max_tokens=12, check=check
    )
    assert cancels > 20
    assert engine.counters.restored_tokens > 0
    await assert_nothing_is_held(engine)
    assert backend.used_cells == 0
    await engine.close()


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.timeout(1200)
async def test_200_conversations_of_5_turns_on_the_real_model(
    model_path: Path, tmp_path: Path
) -> None:
    settings = EngineSettings(snapshot_memory_mb=64, snapshot_disk_mb=256, threads=2)
    engine = await asyncio.to_thread(load_engine, model_path, "smollm2", settings, tmp_path)
    system = "You are the assistant of a shop. " + " ".join(
        f"Article {i} costs {i * 7 % 97} euros." for i in range(12)
    )
    instructions = [engine.tokenize(system, parse_special=False)]
    resident: list[int] = []

    def weigh() -> None:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        resident.append(pages * os.sysconf("SC_PAGE_SIZE") // 2**20)

    cancels = await soak(
        engine, instructions, conversations=200, turns=5, max_tokens=8, after_turn=weigh
    )
    print(f"{cancels} cancels, resident MB after each turn: {resident}, {engine.counters}")
    await assert_nothing_is_held(engine)
    await engine.close()
    assert cancels > 100
    # Snapshots may fill their budget after the first turn; beyond that nothing grows.
    assert resident[-1] - resident[1] < 64 + 32
