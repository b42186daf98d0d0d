"""The engine with a real model: what only llama.cpp can get wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from localassist.core import Constraint, SamplingParams
from localassist.engine import EngineSettings, Finished, Generate, LlamaEngine, load_engine
from localassist.engine.backend import Batch
from localassist.engine.llama import LlamaBackend
from localassist.engine.sampler import Sampler
from localassist.errors import ModelLoadFailed

pytestmark = pytest.mark.model

SETTINGS = EngineSettings(
    context_tokens=2048, max_sequences=4, threads=2, batch_threads=2, use_extra_buffers="off"
)


@pytest.fixture(scope="module")
def engine(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaEngine]:
    """One engine for all tests here, each of which has an event loop of its own."""
    engine = load_engine(model_path, "smollm2", SETTINGS, tmp_path_factory.mktemp("cache"))
    yield engine
    asyncio.run(engine.close())


@pytest.fixture(scope="module")
def backend(model_path: Path) -> Iterator[LlamaBackend]:
    backend = LlamaBackend(model_path, SETTINGS, use_extra_buffers=False)
    yield backend
    backend.close()


def chat(engine: LlamaEngine, text: str) -> list[int]:
    return engine.tokenize(
        f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n", parse_special=True
    )


async def collect(engine: LlamaEngine, request: Generate) -> tuple[str, list[int], Finished]:
    text, tokens = "", []
    async for item in engine.generate(request):
        if isinstance(item, Finished):
            assert engine.detokenize(tokens) == text
            return text, tokens, item
        text += item.text
        tokens += item.token_ids
    raise AssertionError("a generation ends with Finished")


def greedy(max_tokens: int, stop: tuple[str, ...] = ()) -> SamplingParams:
    return SamplingParams(temperature=0, max_tokens=max_tokens, stop=stop)


async def test_the_file_says_what_it_is(engine: LlamaEngine) -> None:
    assert engine.context_length == 2048
    assert engine.special_tokens == {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}
    assert engine.chat_template is not None and "<|im_start|>" in engine.chat_template


async def test_control_tokens_are_parsed_only_on_request(engine: LlamaEngine) -> None:
    text = "<|im_start|>héllo 漢字🙂"
    as_control = engine.tokenize(text, parse_special=True)
    as_text = engine.tokenize(text, parse_special=False)
    assert len(as_control) < len(as_text)
    assert engine.detokenize(as_control) == engine.detokenize(as_text) == text


async def test_a_question_is_answered_and_the_end_token_is_not_part_of_it(
    engine: LlamaEngine,
) -> None:
    text, tokens, finished = await collect(
        engine, Generate(chat(engine, "What is the capital of France?"), greedy(40))
    )
    assert "Paris" in text and "<|im_end|>" not in text
    assert finished.reason == "stop"
    assert finished.usage.completion_tokens == len(tokens)


async def test_two_conversations_share_steps(engine: LlamaEngine) -> None:
    prompts = [chat(engine, "Count to twenty."), chat(engine, "Name ten animals.")]
    alone = [await collect(engine, Generate(prompt, greedy(24))) for prompt in prompts]
    steps = engine.counters.steps
    together = await asyncio.gather(
        *(collect(engine, Generate(prompt, greedy(24))) for prompt in prompts)
    )
    assert engine.counters.widest_step >= 2
    assert engine.counters.steps - steps < 40
    assert all(text for text, _, _ in [*alone, *together])


async def test_a_constrained_answer_is_valid_json(engine: LlamaEngine) -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 20},
            "age": {"type": "integer", "minimum": 0, "maximum": 150},
            "tags": {"type": "array", "items": {"enum": ["new", "old"]}, "maxItems": 3},
        },
        "required": ["name", "age", "tags"],
        "additionalProperties": False,
        "x-guidance": {"whitespace_flexible": False},
    }
    grammar = Constraint("%llguidance {}\nstart: %json " + json.dumps(schema))
    prompts = [chat(engine, f"Describe person number {i} as JSON.") for i in range(3)]
    sampling = SamplingParams(temperature=1.5, seed=3, max_tokens=120)
    answers = await asyncio.gather(
        *(collect(engine, Generate(prompt, sampling, grammar)) for prompt in prompts)
    )
    for text, _, finished in answers:
        assert finished.reason == "stop"
        value = json.loads(text)
        assert set(value) == {"name", "age", "tags"} and 0 <= value["age"] <= 150


async def test_stop_strings_end_a_real_answer(engine: LlamaEngine) -> None:
    prompt = chat(engine, "Count from 1 to 10.")
    text, _, finished = await collect(engine, Generate(prompt, greedy(60, ("5", "never"))))
    assert "4" in text and "5" not in text
    assert finished.reason == "stop"


async def test_a_follow_up_turn_computes_only_what_is_new(engine: LlamaEngine) -> None:
    prompt = chat(engine, "Tell me about the sea.")
    _, answer, _ = await collect(engine, Generate(prompt, greedy(16)))
    follow_up = [*prompt, *answer, *chat(engine, "And the mountains?")]
    rows = engine.counters.rows
    _, _, finished = await collect(engine, Generate(follow_up, greedy(1)))
    assert finished.usage.cached_tokens == len(prompt) + len(answer) - 1
    assert engine.counters.rows - rows == len(follow_up) - finished.usage.cached_tokens


async def test_scores_equal_teacher_forcing(
    backend: LlamaBackend, model_path: Path, tmp_path: Path
) -> None:
    # An engine with an empty cache: the order of cells decides the order of sums, and a model of
    # this size and quantization turns their last bits into a tenth of a nat.
    engine = load_engine(model_path, "fresh", SETTINGS, tmp_path)
    prompt = chat(engine, "What is the capital of France?")
    continuations = [
        engine.tokenize(text, parse_special=False)
        for text in ("Paris", "The capital of France is Paris", "London is the one")
    ]
    scores = await engine.score(prompt, continuations)
    for tokens, values in zip(continuations, scores, strict=True):
        whole = [*prompt, *tokens]
        clear(backend)
        backend.forward(
            Batch(whole, list(range(len(whole))), [0] * len(whole), [True] * len(whole))
        )
        expected = []
        for position, token in enumerate(tokens, start=len(prompt) - 1):
            logits = backend.logits(position).astype(np.float64)
            expected.append(logits[token] - np.logaddexp.reduce(logits))
        assert values == pytest.approx(expected, abs=0.05)
    await engine.close()


def clear(backend: LlamaBackend) -> None:
    for slot in range(backend.limits.sequence_ids):
        backend.drop_cells(slot)


def prefill(backend: LlamaBackend, texts: list[str]) -> list[int]:
    """Run each text in its own slot, all in one pass; returns the rows of the last tokens."""
    clear(backend)
    batch, rows = Batch([], [], [], []), []
    for slot, text in enumerate(texts):
        tokens = backend.tokenize(text, parse_special=False)
        batch.tokens += tokens
        batch.positions += range(len(tokens))
        batch.slots += [slot] * len(tokens)
        batch.wants_logits += [False] * (len(tokens) - 1) + [True]
        rows.append(len(batch) - 1)
    backend.forward(batch)
    return rows


def test_logits_in_a_shared_pass_are_those_of_a_pass_alone(backend: LlamaBackend) -> None:
    texts = ["The capital of France is", "One, two, three,", "def main():\n    return"]
    alone = []
    for text in texts:
        (row,) = prefill(backend, [text])
        alone.append(backend.logits(row).copy())
    for row, expected in zip(prefill(backend, texts), alone, strict=True):
        # Sums are added in another order in wider passes.
        np.testing.assert_allclose(backend.logits(row), expected, atol=0.2)


def test_the_coldest_temperature_is_greedy(backend: LlamaBackend) -> None:
    (row,) = prefill(backend, ["The capital of France is"])
    favourite = int(backend.logits(row).argmax())
    for temperature in (1e-6, 1e-20, 1e-38, 1e-45, 1e-300):
        assert draw(backend, SamplingParams(temperature=temperature), row, 5) == [favourite] * 5


def test_penalties_count_every_token_there_is(backend: LlamaBackend) -> None:
    (row,) = prefill(backend, ["The capital of France is"])
    params = SamplingParams(temperature=0, presence_penalty=100.0, frequency_penalty=0.5)
    logits = backend.logits(row).copy()
    assert draw(backend, params, row, 200) == np.argsort(-logits, kind="stable")[:200].tolist()
    np.testing.assert_array_equal(backend.logits(row), logits)


def test_seeds_repeat_and_differ(backend: LlamaBackend) -> None:
    (row,) = prefill(backend, ["Once upon a"])
    draws = [draw(backend, SamplingParams(temperature=2, seed=s), row, 12) for s in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def draw(backend: LlamaBackend, params: SamplingParams, row: int, count: int) -> list[int]:
    sampler = Sampler(params)
    tokens = []
    for index in range(count):
        tokens.append(sampler.choose(backend.logits(row), index))
        sampler.accept(tokens[-1])
    return tokens


async def test_a_crowded_cache_preempts_and_evicts_without_upsetting_llama_cpp(
    model_path: Path, tmp_path: Path
) -> None:
    """The accounting must agree with the real cells: one too many and the context breaks."""
    settings = SETTINGS.model_copy(update={"context_tokens": 256, "cached_segments": 2})
    engine = load_engine(model_path, "crowded", settings, tmp_path)
    requests = [Generate(chat(engine, f"Story {i % 3}. " * 8), greedy(48)) for i in range(6)]
    answers = await asyncio.gather(*(collect(engine, request) for request in requests))
    assert all(finished.usage.completion_tokens > 0 for _, _, finished in answers)
    assert engine.counters.preemptions > 0
    assert engine.counters.evictions > 0
    assert not engine.is_broken
    await engine.close()


async def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF" + bytes(64))
    for use in ("off", "auto"):
        with pytest.raises(ModelLoadFailed):
            load_engine(path, "broken", EngineSettings(use_extra_buffers=use), tmp_path)
