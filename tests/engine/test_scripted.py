"""The public double keeps the promises of the Engine protocol."""

from __future__ import annotations

import asyncio

import pytest

from localassist.core import Constraint, SamplingParams
from localassist.engine import Engine, Finished, Generate, Piece, ScriptedEngine
from localassist.errors import (
    ContextLengthExceeded,
    GenerationFailed,
    GrammarRejected,
    ShuttingDown,
)


async def collect(engine: Engine, request: Generate) -> tuple[str, list[int], Finished]:
    items = [item async for item in engine.generate(request)]
    finished = items.pop()
    assert isinstance(finished, Finished)
    pieces = [item for item in items if isinstance(item, Piece)]
    tokens = [token for piece in pieces for token in piece.token_ids]
    text = "".join(piece.text for piece in pieces)
    assert engine.detokenize(tokens) == text
    return text, tokens, finished


def ask(engine: Engine, text: str = "hi", **sampling: object) -> Generate:
    prompt = engine.tokenize(text, parse_special=True)
    return Generate(prompt, SamplingParams(**sampling))  # type: ignore[arg-type]


async def test_replies_come_in_order_then_the_default() -> None:
    engine = ScriptedEngine("one", lambda request: f"{len(request.prompt)}", default_reply="…")
    engine.enqueue("three 🙂 <|im_start|>")
    texts = [(await collect(engine, ask(engine)))[0] for _ in range(4)]
    assert texts == ["one", "2", "three 🙂 <|im_start|>", "…"]
    assert len(engine.requests) == engine.counters.finished == 4


async def test_control_tokens_are_single_tokens_only_on_request() -> None:
    engine = ScriptedEngine()
    assert len(engine.tokenize("<|im_start|>a", parse_special=True)) == 2
    assert len(engine.tokenize("<|im_start|>a", parse_special=False)) == 13


async def test_limits_stop_strings_and_counters() -> None:
    engine = ScriptedEngine(default_reply="abcdefghij")
    text, _, finished = await collect(engine, ask(engine, max_tokens=4))
    assert (text, finished.reason, finished.usage.completion_tokens) == ("abcd", "length", 4)
    text, _, finished = await collect(engine, ask(engine, stop=("fg",)))
    assert (text, finished.reason) == ("abcde", "stop")
    assert finished.usage.cached_tokens == 1
    _, _, finished = await collect(engine, ask(engine, "hiabcde and more"))
    assert finished.usage.cached_tokens == 7


async def test_continued_tokens_are_not_sent_again() -> None:
    engine = ScriptedEngine(default_reply="abcdefghij")
    _, tokens, _ = await collect(engine, ask(engine))
    request = Generate(list(b"hi"), continued=tokens[:6])
    text, _, finished = await collect(engine, request)
    assert text == "ghij"
    assert finished.usage.completion_tokens == 10


async def test_errors_can_be_scripted_and_a_missing_reply_is_one() -> None:
    engine = ScriptedEngine(GenerationFailed("as scripted"))
    with pytest.raises(GenerationFailed, match="as scripted"):
        await collect(engine, ask(engine))
    with pytest.raises(GenerationFailed):
        await collect(engine, ask(engine))
    with pytest.raises(GrammarRejected):
        await collect(engine, Generate([1], constraint=Constraint("start: missing")))
    with pytest.raises(ContextLengthExceeded):
        await collect(ScriptedEngine("x", context_length=3), Generate([1, 2, 3, 4]))


async def test_an_abort_is_counted_and_a_close_ends_readers() -> None:
    engine = ScriptedEngine(default_reply="x" * 100, delay_seconds=0.001)
    stream = engine.generate(ask(engine))
    await anext(stream)
    await stream.aclose()
    assert (engine.counters.aborted, engine.counters.running) == (1, 0)
    reader = asyncio.create_task(collect(engine, ask(engine)))
    await asyncio.sleep(0.005)
    await engine.close()
    with pytest.raises(ShuttingDown):
        await reader
    assert engine.counters.failed == 1


async def test_scores_come_from_the_scorer() -> None:
    engine = ScriptedEngine(scorer=lambda prompt, text: -1.0 if text == "yes" else -9.0)
    scores = await engine.score(list(b"?"), [list(b"yes"), list(b"no"), []])
    assert [sum(values) for values in scores] == pytest.approx([-1.0, -9.0, 0])
    assert [len(values) for values in scores] == [3, 2, 0]
