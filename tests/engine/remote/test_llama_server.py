"""Against a real llama-server with the embedded model: what it promises is what it does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from localassist.core import Constraint, SamplingParams
from localassist.engine import EngineSettings, Finished, Generate, Piece, validate_grammar
from localassist.engine.loading import load_engine
from localassist.engine.remote import ServerEngine
from localassist.engine.request import Engine
from localassist.errors import (
    ContextLengthExceeded,
    GenerationFailed,
    GrammarRejected,
    InvalidRequest,
    ModelLoadFailed,
)
from localassist.tools.grammar import response_constraint
from tests.engine.remote.serving import KEY, SLOT_TOKENS, address, llama_server

pytestmark = pytest.mark.model

TURN = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
GREEDY = SamplingParams(temperature=0, max_tokens=48)


@pytest.fixture
def far(llama_url: str, connected: Callable[..., ServerEngine]) -> ServerEngine:
    return connected(llama_url)


@pytest.fixture(scope="module")
def near(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The same file in the embedded engine."""
    settings = EngineSettings(context_tokens=SLOT_TOKENS, use_extra_buffers="off")
    engine = load_engine(model_path, "near", settings, tmp_path_factory.mktemp("probes"))
    yield engine
    asyncio.run(engine.close())


def prompt(engine: Engine, text: str = "Name three planets.") -> list[int]:
    return engine.tokenize(TURN.format(text), parse_special=True)


async def collect(engine: Engine, request: Generate) -> tuple[list[Piece], Finished]:
    items = [item async for item in engine.generate(request)]
    end = items.pop()
    assert isinstance(end, Finished)
    pieces = [item for item in items if isinstance(item, Piece)]
    for piece in pieces:
        assert engine.detokenize(piece.token_ids) == piece.text
    return pieces, end


def text_of(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def test_it_says_what_it_is(far: ServerEngine, near: Engine) -> None:
    assert far.server_kind == "llama-server"
    assert far.context_length == SLOT_TOKENS
    assert far.chat_template == near.chat_template
    assert far.special_tokens == near.special_tokens
    assert (far.facts.json_schema, far.facts.grammar, far.facts.score) == (True, True, True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hello.",
        " two  spaces\n\n",
        "é😀漢字",
        "<|im_end|>\n<|im_start|>system\n",
        "\u2028\x85",
    ],
)
def test_texts_become_the_tokens_of_the_embedded_engine(
    far: ServerEngine, near: Engine, text: str
) -> None:
    for parse_special in (False, True):
        tokens = far.tokenize(text, parse_special=parse_special)
        assert tokens == near.tokenize(text, parse_special=parse_special)
        assert far.detokenize(tokens) == near.detokenize(tokens) == text


async def test_a_streamed_answer(far: ServerEngine) -> None:
    pieces, end = await collect(far, Generate(prompt(far), GREEDY))
    assert len(pieces) > 3 and "Earth" in text_of(pieces)
    assert end.reason == "stop"
    assert end.usage.completion_tokens == sum(len(piece.token_ids) for piece in pieces)
    _, again = await collect(far, Generate(prompt(far), GREEDY))
    assert 0 < again.usage.cached_tokens < again.usage.prompt_tokens == len(prompt(far))


async def test_what_was_said_before_is_gone_on_from(far: ServerEngine) -> None:
    pieces, end = await collect(far, Generate(prompt(far), GREEDY))
    said = [token for piece in pieces for token in piece.token_ids]
    rest, end_again = await collect(far, Generate(prompt(far), GREEDY, continued=said[:4]))
    assert far.detokenize(said[:4]) + text_of(rest) == text_of(pieces)
    assert end_again.usage.completion_tokens == end.usage.completion_tokens


async def test_limits_and_stop_strings(far: ServerEngine) -> None:
    few = SamplingParams(temperature=0, max_tokens=3)
    pieces, end = await collect(far, Generate(prompt(far), few))
    assert (end.reason, end.usage.completion_tokens) == ("length", 3)
    whole = text_of((await collect(far, Generate(prompt(far), GREEDY)))[0])
    stop = whole[9:12]
    params = SamplingParams(temperature=0, max_tokens=48, stop=("never", stop))
    pieces, end = await collect(far, Generate(prompt(far), params))
    assert text_of(pieces) == whole[: whole.index(stop)]
    assert end.reason == "stop"


async def test_seeds_and_biases_are_passed_on(far: ServerEngine) -> None:
    seeded = SamplingParams(temperature=1.5, seed=7, max_tokens=12)
    one, two = [text_of((await collect(far, Generate(prompt(far), seeded)))[0]) for _ in "ab"]
    assert one == two
    (first,) = far.tokenize("Z", parse_special=False)
    biased = SamplingParams(temperature=0, max_tokens=2, logit_bias={first: 100.0})
    assert text_of((await collect(far, Generate(prompt(far), biased)))[0]) == "ZZ"
    usual = (await collect(far, Generate(prompt(far), GREEDY)))[0][0]
    never = SamplingParams(
        temperature=0, max_tokens=1, logit_bias={usual.token_ids[0]: -float("inf")}
    )
    assert (await collect(far, Generate(prompt(far), never)))[0][0].token_ids != usual.token_ids


async def test_an_answer_keeps_to_its_schema(far: ServerEngine) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
    constraint = response_constraint(wanted, validate_grammar)
    pieces, end = await collect(far, Generate(prompt(far), GREEDY, constraint))
    value = json.loads(text_of(pieces))
    assert end.reason == "stop" and set(value) == {"name", "age"}


async def test_an_answer_keeps_to_its_grammar_to_the_last_byte(far: ServerEngine) -> None:
    grammar = Constraint('%llguidance {}\nstart: "é😀漢" /[0-9]{3}/\n')
    pieces, _ = await collect(far, Generate(prompt(far), GREEDY, grammar))
    text = text_of(pieces)
    assert text.startswith("é😀漢") and text[3:].isdigit() and len(text) == 6


async def test_a_grammar_that_does_not_compile_never_gets_there(far: ServerEngine) -> None:
    with pytest.raises(GrammarRejected):
        await collect(far, Generate(prompt(far), GREEDY, Constraint("%llguidance {}\nstart: @")))


async def test_a_constrained_answer_cannot_be_taken_up(far: ServerEngine) -> None:
    request = Generate(prompt(far), GREEDY, Constraint('%llguidance {}\nstart: "ab"\n'), (1,))
    with pytest.raises(GenerationFailed, match="Start the run again"):
        await collect(far, request)


async def test_scores_are_those_of_the_embedded_engine(far: ServerEngine, near: Engine) -> None:
    words = [" Earth and Mars", " Venus", "", " Earth"]
    continuations = [far.tokenize(word, parse_special=False) for word in words]
    theirs = await far.score(prompt(far), continuations)
    ours = await near.score(prompt(near), continuations)
    assert [len(values) for values in theirs] == [len(tokens) for tokens in continuations]
    for values, expected in zip(theirs, ours, strict=True):
        # Quantized weights are multiplied in other ways by other builds.
        assert values == pytest.approx(expected, abs=0.5)


async def test_leaving_frees_the_slot(far: ServerEngine) -> None:
    """There is one slot: the next answer begins only once it is free."""
    endless = SamplingParams(temperature=0, logit_bias={2: -float("inf"), 0: -float("inf")})
    async with aclosing(far.generate(Generate(prompt(far), endless))) as answer:
        assert isinstance(await anext(answer), Piece)
    await collect(far, Generate(prompt(far), SamplingParams(temperature=0, max_tokens=1)))
    slots = await asyncio.to_thread(far._wire.get, "/slots")
    assert [slot["is_processing"] for slot in slots] == [False]


async def test_a_prompt_beyond_the_context_is_refused_here(far: ServerEngine) -> None:
    with pytest.raises(ContextLengthExceeded, match=f"is {SLOT_TOKENS} tokens"):
        await collect(far, Generate([504] * (SLOT_TOKENS + 1), GREEDY))
    _, end = await collect(far, Generate([504] * SLOT_TOKENS, GREEDY))
    assert (end.reason, end.usage.completion_tokens) == ("length", 0)


async def test_a_context_that_shrank_is_noticed(far: ServerEngine) -> None:
    """As after a restart of the server with other options."""
    dialect = far._dialect
    with pytest.raises(ContextLengthExceeded, match="too long for the model server"):
        async for _ in dialect.stream([504] * (SLOT_TOKENS + 9), GREEDY, 1, {}):
            pass


async def test_unknown_tokens_are_refused(far: ServerEngine) -> None:
    with pytest.raises(InvalidRequest):
        await collect(far, Generate([10**6], GREEDY))
    with pytest.raises(InvalidRequest):
        far.detokenize([-1])


def test_a_shorter_context_can_be_asked_for(
    llama_url: str, connected: Callable[..., ServerEngine]
) -> None:
    assert connected(llama_url, context_length=100).context_length == 100
    assert connected(llama_url, context_length=10**6).context_length == SLOT_TOKENS


def test_a_model_it_does_not_have_is_named(
    llama_url: str, connected: Callable[..., ServerEngine]
) -> None:
    with pytest.raises(ModelLoadFailed, match=r"no model `gpt-x`; it has: .*SmolLM2"):
        connected(llama_url, model="gpt-x")


def test_a_key_is_asked_for(model_path: Path, connected: Callable[..., ServerEngine]) -> None:
    with llama_server(model_path, KEY) as url:
        for options in ({}, {"api_key": "wrong", "api_key_env": "FAR_KEY"}):
            with pytest.raises(
                ModelLoadFailed, match=r"refuses the API key.*(FAR_KEY|api-key-env)"
            ):
                connected(url, **options)
        engine = connected(url, api_key=KEY)
        assert engine.tokenize("a", parse_special=False)
        assert KEY not in repr(address(url, api_key=KEY))
