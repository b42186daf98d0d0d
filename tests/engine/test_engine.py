"""The real engine over the scripted backend: exact, no model."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localassist.core import Constraint, SamplingParams
from localassist.engine import EngineSettings, Finished, Generate, LlamaEngine, Piece
from localassist.engine.backend import BackendError, Batch
from localassist.engine.scripted_backend import END_TOKEN, ScriptedBackend, hashed_letters
from localassist.errors import (
    ContextLengthExceeded,
    GenerationFailed,
    GrammarRejected,
    InvalidRequest,
    ModelLoadFailed,
    ShuttingDown,
)

MakeEngine = Callable[..., LlamaEngine]
GREEDY = SamplingParams(temperature=0)


def endless(tokens: Sequence[int]) -> int:
    """A letter for every position, never an end."""
    token = hashed_letters(tokens)
    return ord("z") if token == END_TOKEN else token


def spacious() -> ScriptedBackend:
    """Room for an answer that is still running when everything else is done."""
    return ScriptedBackend(endless, context_length=8000, cells=10_000)


async def collect(engine: LlamaEngine, request: Generate) -> tuple[str, list[int], Finished]:
    text, tokens = "", []
    async for item in engine.generate(request):
        if isinstance(item, Finished):
            assert engine.detokenize(tokens) == text
            return text, tokens, item
        text += item.text
        tokens += item.token_ids
    raise AssertionError("a generation ends with Finished")


def alone(prompt: bytes, limit: int, next_token: Callable[[Sequence[int]], int]) -> str:
    tokens = list(prompt)
    while len(tokens) < len(prompt) + limit and (token := next_token(tokens)) != END_TOKEN:
        tokens.append(token)
    return bytes(tokens[len(prompt) :]).decode()


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
    free = await _reading(engine)
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
        await _settle(engine)
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


async def test_closing_the_iterator_aborts_and_frees_the_cells(make_engine: MakeEngine) -> None:
    engine = make_engine(spacious())
    stream = engine.generate(Generate(b"q", GREEDY))
    assert isinstance(await anext(stream), Piece)
    assert engine.counters.running == 1
    await stream.aclose()
    await _settle(engine)
    assert (engine.counters.running, engine.counters.pinned_cells) == (0, 0)


async def test_cancelling_the_reader_aborts(make_engine: MakeEngine) -> None:
    engine = make_engine(spacious())
    reader = await _reading(engine)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    await _settle(engine)
    assert engine.counters.pinned_cells == 0


async def _reading(engine: LlamaEngine) -> asyncio.Task[None]:
    """A task in the middle of reading an endless answer."""
    has_begun = asyncio.Event()

    async def read() -> None:
        async with contextlib.aclosing(engine.generate(Generate(b"q", GREEDY))) as stream:
            async for _ in stream:
                has_begun.set()

    reader = asyncio.create_task(read())
    await has_begun.wait()
    return reader


async def _settle(engine: LlamaEngine) -> None:
    """Let the worker take what is in its inbox: a request behind it does."""
    await collect(engine, Generate(b"~", SamplingParams(temperature=0, max_tokens=1)))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cancels=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 12)), max_size=4))
async def test_cancels_at_any_piece_leave_the_cache_whole(
    cancels: list[tuple[int, int]],
) -> None:
    backend = ScriptedBackend(endless, cells=60, context_length=40)
    engine = LlamaEngine(lambda: backend, "x", EngineSettings(max_sequences=3, cached_segments=0))
    cancel_at = dict(cancels)

    async def read(index: int) -> None:
        prompt = b"shared start %d" % index
        sampling = SamplingParams(temperature=0, max_tokens=14)
        stream = engine.generate(Generate(prompt, sampling))
        text, pieces = "", 0
        async for item in stream:
            if isinstance(item, Piece):
                text += item.text
                pieces += 1
            if pieces == cancel_at.get(index):
                break
        await stream.aclose()
        assert alone(prompt, 14, endless).startswith(text)

    await asyncio.gather(*(read(index) for index in range(6)))
    await _settle(engine)
    await engine.close()
    scheduler = engine._worker.scheduler
    scheduler.check_integrity()
    assert not scheduler.has_work
    while scheduler.cache.evict():
        pass
    assert scheduler.kv.used_cells == 0


class FailingBackend(ScriptedBackend):
    """Breaks in its fifth pass."""

    def forward(self, batch: Batch) -> None:
        if len(self.passes) == 4:
            raise BackendError("out of order")
        super().forward(batch)


async def test_a_backend_error_ends_everything_and_is_remembered(make_engine: MakeEngine) -> None:
    engine = make_engine(FailingBackend(endless))
    assert not engine.is_broken
    results = await asyncio.gather(
        *(collect(engine, Generate(b"q%d" % i, GREEDY)) for i in range(3)), return_exceptions=True
    )
    assert all(isinstance(result, GenerationFailed) for result in results)
    assert engine.is_broken
    with pytest.raises(GenerationFailed, match="out of order"):
        await collect(engine, Generate(b"later", GREEDY))


async def test_close_ends_running_answers_and_refuses_new_ones(make_engine: MakeEngine) -> None:
    backend = spacious()
    engine = make_engine(backend)
    reader = await _reading(engine)
    await engine.close()
    with pytest.raises(ShuttingDown):
        await reader
    assert backend.is_closed
    for call in (
        lambda: engine.tokenize("x", parse_special=False),
        lambda: engine.detokenize([120]),
    ):
        with pytest.raises(ShuttingDown):
            call()
    with pytest.raises(ShuttingDown):
        await collect(engine, Generate(b"q", GREEDY))
    await engine.close()


async def test_several_event_loops_may_read_from_one_engine(make_engine: MakeEngine) -> None:
    engine = make_engine(ScriptedBackend(endless))
    request = Generate(b"from elsewhere", SamplingParams(temperature=0, max_tokens=20))
    texts: list[str] = []

    def elsewhere() -> None:
        texts.append(asyncio.run(collect(engine, request))[0])

    threads = [threading.Thread(target=elsewhere) for _ in range(3)]
    for thread in threads:
        thread.start()
    here = await collect(engine, request)
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert texts == [here[0]] * 3


async def test_a_loop_that_is_gone_does_not_stop_the_others(make_engine: MakeEngine) -> None:
    engine = make_engine(spacious())

    def start_and_vanish() -> None:
        loop = asyncio.new_event_loop()
        stream = engine.generate(Generate(b"q", GREEDY))
        loop.run_until_complete(anext(stream))
        loop.close()
        abandoned.append(stream)

    abandoned: list[object] = []
    await asyncio.to_thread(start_and_vanish)
    text, _, _ = await collect(
        engine, Generate(b"here", SamplingParams(temperature=0, max_tokens=30))
    )
    assert text == alone(b"here", 30, endless)
    await _settle(engine)
    assert engine.counters.running == 0


async def test_the_thread_that_computes_has_opened_the_backend(make_engine: MakeEngine) -> None:
    """Two threads with an OpenMP team each make every pass of llama.cpp three times as slow."""
    threads: list[int] = []

    class Watching(ScriptedBackend):
        def __init__(self) -> None:
            super().__init__()
            threads.append(threading.get_ident())

        def forward(self, batch: Batch) -> None:
            threads.append(threading.get_ident())
            super().forward(batch)

    engine = LlamaEngine(Watching, "x", EngineSettings(max_sequences=2))
    await collect(engine, Generate(b"a", SamplingParams(temperature=0, max_tokens=2)))
    await engine.close()
    assert len(threads) > 1
    assert len(set(threads)) == 1 and threads[0] != threading.get_ident()


def test_a_backend_that_does_not_open_leaves_no_thread() -> None:
    def fail() -> ScriptedBackend:
        raise ModelLoadFailed("no such model")

    with pytest.raises(ModelLoadFailed, match="no such model"):
        LlamaEngine(fail, "unopened", EngineSettings())
    assert "engine-unopened" not in {thread.name for thread in threading.enumerate()}


def test_a_backend_that_cannot_be_used_is_closed() -> None:
    backend = ScriptedBackend(logits_rows=4)
    with pytest.raises(AssertionError, match="every decode row"):
        LlamaEngine(lambda: backend, "unusable", EngineSettings(max_sequences=8))
    assert backend.is_closed
    assert "engine-unusable" not in {thread.name for thread in threading.enumerate()}


async def test_idle_cells_that_there_is_no_memory_to_save_end_nothing() -> None:
    class Short(ScriptedBackend):
        def save_cells(self, slot: int) -> memoryview:
            raise MemoryError

    settings = EngineSettings(max_sequences=1, cached_segments=4)
    engine = LlamaEngine(lambda: Short(endless), "short", settings)
    sampling = SamplingParams(temperature=0, max_tokens=3)
    for prompt in (b"a" * 40, b"b" * 40, b"a" * 40):  # each makes way for the next
        text, _, _ = await collect(engine, Generate(prompt, sampling))
        assert text == alone(prompt, 3, endless)
    assert not engine.is_broken
    await engine.close()
    assert not engine.is_broken


@pytest.mark.parametrize("keeps_snapshots", [True, False])
async def test_idle_conversations_stay_warm_with_snapshots_or_without(
    keeps_snapshots: bool,
) -> None:
    """Cells that cannot come back are not given up for the next conversation."""
    megabytes = 1 if keeps_snapshots else 0
    settings = EngineSettings(
        max_sequences=2,
        cached_segments=4,
        snapshot_memory_mb=megabytes,
        snapshot_disk_mb=megabytes,
    )
    engine = LlamaEngine(lambda: ScriptedBackend(sequence_ids=6), "warm", settings)
    sampling = SamplingParams(temperature=0, max_tokens=1)
    for _ in range(2):
        for prompt in (b"a" * 40, b"b" * 40):
            _, _, last = await collect(engine, Generate(prompt, sampling))
    assert last.usage.cached_tokens == 39
    assert (engine.counters.restored_tokens > 0) is keeps_snapshots
    assert (engine.counters.evictions > 0) is keeps_snapshots
    await engine.close()
