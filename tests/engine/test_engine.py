"""The real engine over the scripted backend: exact, no model."""

from __future__ import annotations

import asyncio

import pytest

from localassist.core import Constraint, SamplingParams
from localassist.engine import Generate
from localassist.engine.scripted_backend import ScriptedBackend, hashed_letters
from localassist.errors import (
    ContextLengthExceeded,
    GenerationFailed,
    GrammarRejected,
    InvalidRequest,
)
from tests.engine.answers import (
    GREEDY,
    MakeEngine,
    alone,
    collect,
    endless,
    reading,
    spacious,
)


async def test_many_at_once_equal_each_alone(make_engine: MakeEngine) -> None:
    backend = ScriptedBackend(cells=120)
    engine = make_engine(backend, max_sequences=4)
    prompts = [b"the same beginning %d" % (i % 5) * (1 + i % 3) for i in range(12)]
    sampling = SamplingParams(temperature=0, max_tokens=30)
    answers = await asyncio.gather(*(collect(engine, Generate(p, sampling)) for p in prompts))
    for prompt, (text, _, finished) in zip(prompts, answers, strict=True):
        assert text == alone(prompt, 30, hashed_letters)
        assert finished.usage.prompt_tokens == len(prompt)
        assert finished.usage.completion_tokens == len(text)
        assert finished.reason == ("length" if len(text) == 30 else "stop")
    assert engine.counters.widest_step == 4
    assert engine.counters.pinned_cells == 0


async def test_constrained_and_free_answers_mix_in_one_batch(make_engine: MakeEngine) -> None:
    engine = make_engine(spacious())
    grammar = Constraint('start: "answer: " /[0-9]{3}/ " done"')
    free = await reading(engine)
    results = await asyncio.gather(
        *(collect(engine, Generate(prompt, GREEDY, grammar)) for prompt in (b"a", b"b"))
    )
    free.cancel()
    for text, _, finished in results:
        assert text.startswith("answer: ") and text.endswith(" done")
        assert text[8:11].isdigit() and finished.reason == "stop"
    assert engine.counters.widest_step >= 2


async def test_forced_tokens_take_no_step_each(make_engine: MakeEngine) -> None:
    backend = ScriptedBackend(endless)
    engine = make_engine(backend)
    request = Generate(b"q", GREEDY, Constraint('start: /[ab]/ "0123456789012345" /[ab]/'))
    text, _, _ = await collect(engine, request)
    assert len(text) == 18
    assert engine.counters.steps < 6


async def test_an_answer_forced_from_end_to_end_needs_no_model(make_engine: MakeEngine) -> None:
    backend = ScriptedBackend()
    engine = make_engine(backend)
    text, tokens, finished = await collect(
        engine, Generate(b"q", GREEDY, Constraint('start: "forced"'))
    )
    assert (text, tokens) == ("forced", list(b"forced"))
    assert finished.reason == "stop"


async def test_a_constrained_answer_cut_by_max_tokens_says_length(make_engine: MakeEngine) -> None:
    engine = make_engine(ScriptedBackend(endless))
    sampling = SamplingParams(temperature=0, max_tokens=5)
    for grammar in ("start: /[a-z]{9}/", 'start: "012345678"'):
        text, _, finished = await collect(engine, Generate(b"q", sampling, Constraint(grammar)))
        assert len(text) == 5
        assert finished.reason == "length"
    text, _, finished = await collect(
        engine, Generate(b"q", sampling, Constraint('start: "01234"'))
    )
    assert (text, finished.reason) == ("01234", "stop")


async def test_a_follow_up_finds_the_previous_turn(make_engine: MakeEngine) -> None:
    engine = make_engine(ScriptedBackend(endless))
    sampling = SamplingParams(temperature=0, max_tokens=10)
    prompt = list(b"first question")
    _, answer, first = await collect(engine, Generate(prompt, sampling))
    assert first.usage.cached_tokens == 0
    follow_up = [*prompt, *answer, *b" second question"]
    _, _, second = await collect(engine, Generate(follow_up, sampling))
    # All but the last sampled token, which was never computed.
    assert second.usage.cached_tokens == len(prompt) + len(answer) - 1


async def test_continued_tokens_are_part_of_the_answer_but_not_sent_again(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(ScriptedBackend(endless))
    sampling = SamplingParams(temperature=0, max_tokens=12)
    text, tokens, whole = await collect(engine, Generate(b"prompt", sampling))
    for done in (1, 5, 11, 12):
        rest, _, finished = await collect(
            engine, Generate(b"prompt", sampling, continued=tokens[:done])
        )
        assert rest == text[done:]
        assert finished.reason == "length"
        assert finished.usage.completion_tokens == whole.usage.completion_tokens


async def test_continued_tokens_go_through_the_grammar(make_engine: MakeEngine) -> None:
    engine = make_engine(ScriptedBackend(endless))
    grammar = Constraint('start: "ab" /[0-9]/ "cd"')
    text, _, _ = await collect(engine, Generate(b"q", GREEDY, grammar, continued=b"ab7"))
    assert text == "cd"
    with pytest.raises(GenerationFailed):
        await collect(engine, Generate(b"q", GREEDY, grammar, continued=b"xy"))


async def test_stop_strings_end_the_answer(make_engine: MakeEngine) -> None:
    script = b"one two STOP three"
    engine = make_engine(ScriptedBackend(lambda tokens: script[len(tokens) - 1]))
    sampling = SamplingParams(temperature=0, stop=("STOP", "nothing"))
    text, tokens, finished = await collect(engine, Generate(b"q", sampling))
    assert (text, bytes(tokens)) == ("one two ", b"one two ")
    assert finished.reason == "stop"


async def test_penalties_and_bias_reach_the_sampler(make_engine: MakeEngine) -> None:
    engine = make_engine(ScriptedBackend(lambda tokens: ord("a")))
    biased = SamplingParams(temperature=0, max_tokens=3, logit_bias={ord("b"): 100.0})
    assert (await collect(engine, Generate(b"q", biased)))[0] == "bbb"
    penalized = SamplingParams(temperature=0, max_tokens=8, presence_penalty=100.0)
    _, tokens, _ = await collect(engine, Generate(b"q", penalized))
    assert len(set(tokens)) == len(tokens)


async def test_a_seed_repeats_an_answer_and_others_differ(make_engine: MakeEngine) -> None:
    engine = make_engine(ScriptedBackend(endless))

    async def answer(seed: int | None) -> list[int]:
        sampling = SamplingParams(temperature=2, max_tokens=20, seed=seed)
        return (await collect(engine, Generate(b"q", sampling)))[1]

    assert await answer(5) == await answer(5) != await answer(6)
    assert await answer(None) != await answer(None)


async def test_an_answer_that_fills_the_context_says_length(make_engine: MakeEngine) -> None:
    engine = make_engine(ScriptedBackend(endless, context_length=20))
    text, _, finished = await collect(engine, Generate(b"x" * 12, GREEDY))
    assert (len(text), finished.reason) == (8, "length")
    text, _, finished = await collect(engine, Generate(b"x" * 20, GREEDY))
    assert (text, finished.reason) == ("", "length")


async def test_a_prompt_beyond_the_context_is_refused_with_the_hosted_words(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(ScriptedBackend(context_length=20))
    with pytest.raises(ContextLengthExceeded) as refusal:
        await collect(engine, Generate(b"x" * 21, GREEDY))
    assert refusal.value.message == (
        "This model's maximum context length is 20 tokens. However, your messages resulted in "
        "21 tokens. Please reduce the length of the messages."
    )
    assert (refusal.value.code, refusal.value.param) == ("context_length_exceeded", "messages")


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (Generate(b"q", SamplingParams(temperature=-1)), InvalidRequest),
        (Generate([], GREEDY), InvalidRequest),
        (Generate([9999], GREEDY), InvalidRequest),
        (Generate([-1], GREEDY), InvalidRequest),
        (Generate(b"q", GREEDY, continued=[9999]), InvalidRequest),
        (Generate(b"q", GREEDY, Constraint("start: missing")), GrammarRejected),
    ],
)
async def test_a_bad_request_fails_alone(
    make_engine: MakeEngine, request_: Generate, error: type[Exception]
) -> None:
    engine = make_engine(ScriptedBackend(endless))
    good = asyncio.create_task(
        collect(engine, Generate(b"good", SamplingParams(temperature=0, max_tokens=40)))
    )
    with pytest.raises(error):
        await collect(engine, request_)
    assert (await good)[0] == alone(b"good", 40, endless)
