"""Scores of the real engine over the scripted backend: exact, no model."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from localassist.core import SamplingParams
from localassist.engine import Generate
from localassist.engine.scripted_backend import ScriptedBackend
from localassist.errors import (
    ContextLengthExceeded,
)
from tests.engine.answers import (
    GREEDY,
    MakeEngine,
    collect,
    endless,
    settle,
)


async def test_scores_share_the_prompt_and_equal_teacher_forcing(make_engine: MakeEngine) -> None:
    backend = ScriptedBackend()
    engine = make_engine(backend, max_sequences=3)
    prompt = list(b"a prompt of some length")
    continuations = [list(b"abc"), [], list(b"x"), list(b"abd"), list(b"longer one"), list(b"y")]
    scores = await engine.score(prompt, continuations)
    for tokens, values in zip(continuations, scores, strict=True):
        expected = [
            _log_softmax(backend, prompt + tokens[:i], token) for i, token in enumerate(tokens)
        ]
        assert values == pytest.approx(expected, abs=1e-5)
    # The prompt once, then each longer continuation but its last token.
    assert engine.counters.rows == len(prompt) + 2 + 2 + 9
    # And it stays for whoever comes next.
    _, _, finished = await collect(engine, Generate(prompt, GREEDY))
    assert finished.usage.cached_tokens == len(prompt) - 1


async def test_an_answer_does_not_wait_for_all_of_many_scores(make_engine: MakeEngine) -> None:
    is_scoring, are_submitted = threading.Event(), threading.Event()
    readers = []

    def record(tokens: Sequence[int]) -> int:
        is_scoring.set()
        are_submitted.wait(20)
        readers.append(chr(tokens[0]))
        return endless(tokens)

    engine = make_engine(ScriptedBackend(record), max_sequences=2)
    continuations = [list(b"%03d of many" % i) for i in range(100)]
    answer = Generate(b"q", SamplingParams(temperature=0, max_tokens=2))
    scores = asyncio.create_task(engine.score(list(b"a prompt"), continuations))
    await asyncio.to_thread(is_scoring.wait, 20)
    answering = asyncio.create_task(collect(engine, answer))
    await asyncio.sleep(0)  # it has run up to its first item
    are_submitted.set()
    assert len((await answering)[0]) == 2 and len(await scores) == 100
    assert readers.count("a") == 1 + 100 * 10
    assert readers[:60].count("q") == 2


async def test_scores_survive_preemption(make_engine: MakeEngine) -> None:
    """A preempted sequence is computed again; its earlier rows must not be counted twice."""
    backend = ScriptedBackend(endless, cells=64, context_length=64, batch_rows=8, logits_rows=8)
    engine = make_engine(backend, max_sequences=5)
    prompt, tokens = list(b"Q"), [97 + i % 26 for i in range(24)]
    expected = [_log_softmax(backend, prompt + tokens[:i], token) for i, token in enumerate(tokens)]
    preempted = 0
    for head_start in range(2, 9):
        answers = [
            engine.generate(Generate([65 + i], SamplingParams(temperature=0, max_tokens=24)))
            for i in range(4)
        ]
        for _ in range(head_start):
            await asyncio.gather(*(anext(answer) for answer in answers))
        before = engine.counters.preemptions
        ((values,),) = await asyncio.gather(engine.score(prompt, [tokens]))
        assert values == pytest.approx(expected, abs=1e-5)
        preempted += engine.counters.preemptions - before
        for answer in answers:
            await answer.aclose()
        await settle(engine)
    assert preempted > 0


def _log_softmax(backend: ScriptedBackend, tokens: list[int], token: int) -> float:
    import numpy as np

    logits = backend._compute_logits(tokens).astype(np.float64)
    return float(logits[token] - np.log(np.exp(logits).sum()))


async def test_scores_beyond_the_context_are_refused(make_engine: MakeEngine) -> None:
    engine = make_engine(ScriptedBackend(context_length=10))
    with pytest.raises(ContextLengthExceeded):
        await engine.score(b"12345678", [b"123"])
    assert await engine.score(b"1", []) == []
