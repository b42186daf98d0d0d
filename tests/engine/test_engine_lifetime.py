"""The real engine opened, cancelled, failing, closed and read from several loops."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localassist.core import SamplingParams
from localassist.engine import EngineSettings, Generate, LlamaEngine, Piece
from localassist.engine.backend import BackendError, Batch
from localassist.engine.scripted_backend import ScriptedBackend
from localassist.errors import (
    GenerationFailed,
    ModelLoadFailed,
    ShuttingDown,
)
from tests.engine.answers import (
    GREEDY,
    MakeEngine,
    alone,
    collect,
    endless,
    reading,
    settle,
    spacious,
)


async def test_closing_the_iterator_aborts_and_frees_the_cells(make_engine: MakeEngine) -> None:
    engine = make_engine(spacious())
    stream = engine.generate(Generate(b"q", GREEDY))
    assert isinstance(await anext(stream), Piece)
    assert engine.counters.running == 1
    await stream.aclose()
    await settle(engine)
    assert (engine.counters.running, engine.counters.pinned_cells) == (0, 0)


async def test_cancelling_the_reader_aborts(make_engine: MakeEngine) -> None:
    engine = make_engine(spacious())
    reader = await reading(engine)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    await settle(engine)
    assert engine.counters.pinned_cells == 0


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
    await settle(engine)
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
    reader = await reading(engine)
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
    await settle(engine)
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
