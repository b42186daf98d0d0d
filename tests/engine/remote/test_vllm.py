"""The vLLM dialect against an imitation of that server; vLLM itself needs a GPU and is not run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, aclosing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.core import Constraint, SamplingParams
from localassist.engine import Finished, Generate, Piece, validate_grammar
from localassist.engine.remote import ServerEngine
from localassist.engine.remote.vllm import Vllm as VllmDialect
from localassist.errors import (
    ContextLengthExceeded,
    GenerationFailed,
    GrammarRejected,
    ModelLoadFailed,
    UnsupportedParameter,
)
from localassist.tools.grammar import response_constraint
from tests.engine.remote.serving import app_on_thread
from tests.engine.remote.vllm_imitation import ADDED, END, MAX_MODEL_LEN, MODEL, REPLY, Vllm, encode

PROMPT = (104, 105)
LARK = Constraint('%llguidance {}\nstart: "ja"\n')


@pytest.fixture
def start(connected: Callable[..., ServerEngine]) -> Iterator[Callable[..., Any]]:
    """Starts an imitation and connects to it."""
    with ExitStack() as stack:

        def begin(**options: Any) -> tuple[Vllm, ServerEngine]:
            server = Vllm(**options)
            url = stack.enter_context(app_on_thread(server.app))
            return server, connected(f"{url}", model=MODEL)

        yield begin


def schema(**value: Any) -> Constraint:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": value}}
    constraint = response_constraint(wanted, validate_grammar)
    assert constraint is not None
    return constraint


async def collect(engine: ServerEngine, request: Generate) -> tuple[str, list[int], Finished]:
    items = [item async for item in engine.generate(request)]
    end = items.pop()
    assert isinstance(end, Finished)
    pieces = [item for item in items if isinstance(item, Piece)]
    tokens = [token for piece in pieces for token in piece.token_ids]
    return "".join(piece.text for piece in pieces), tokens, end


async def test_a_streamed_answer(start: Callable[..., Any]) -> None:
    _, engine = start()
    assert engine.context_length == MAX_MODEL_LEN
    assert engine.special_tokens == {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}
    text, tokens, end = await collect(engine, Generate(PROMPT))
    assert (text, tokens) == (REPLY, [ord(character) for character in REPLY])
    assert (end.reason, end.usage.completion_tokens) == ("stop", len(REPLY))
    assert end.usage.cached_tokens == len(PROMPT)


async def test_sampling_is_translated(start: Callable[..., Any]) -> None:
    server, engine = start()
    params = SamplingParams(
        temperature=0.00001,
        top_p=0.0,
        min_p=0.1,
        repeat_penalty=1.2,
        presence_penalty=0.3,
        frequency_penalty=0.4,
        seed=-1,
        max_tokens=9,
        stop=("Ferne",),
        logit_bias={7: -float("inf")},
    )
    await collect(engine, Generate(PROMPT, params, continued=(33, 34)))
    sent = server.bodies[-1]
    expected = {
        "temperature": 0,
        "top_p": 1e-6,
        "top_k": -1,
        "min_p": 0.1,
        "repetition_penalty": 1.2,
        "presence_penalty": 0.3,
        "frequency_penalty": 0.4,
        "seed": 2**63 - 1,
        "max_tokens": 7,
        "prompt": [*PROMPT, 33, 34],
        "logit_bias": {"7": -100.0},
    }
    assert {name: sent[name] for name in expected} == expected
    assert "stop" not in sent


async def test_log_probabilities_are_refused(start: Callable[..., Any]) -> None:
    server, engine = start()
    asked = len(server.bodies)
    with pytest.raises(UnsupportedParameter, match="Unsupported parameter: 'logprobs'") as caught:
        await collect(engine, Generate(PROMPT, SamplingParams(top_logprobs=0)))
    assert caught.value.param == "logprobs" and len(server.bodies) == asked


async def test_stop_strings_end_the_answer_here(start: Callable[..., Any]) -> None:
    _, engine = start()
    text, tokens, end = await collect(engine, Generate(PROMPT, SamplingParams(stop=("aus", "x"))))
    assert (text, end.reason) == ("Grüße 😀 ", "stop")
    assert engine.detokenize(tokens) == text


@given(st.lists(st.sampled_from([*ADDED, *(text[:4] for text in ADDED), "|>", "é", " "])))
def test_no_text_becomes_a_control_token(parts: list[str]) -> None:
    text = "".join(parts)
    dialect = VllmDialect(_Imitated(), {"id": MODEL, "max_model_len": 1})  # type: ignore[arg-type]
    dialect._tokenizer_info()
    tokens = dialect.tokenize(text, parse_special=False)
    assert tokens == [ord(character) for character in text]


class _Imitated:
    """The imitation's tokenizer without a network."""

    def get(self, path: str) -> Any:
        return {"added_tokens_decoder": {str(token): text for text, token in ADDED.items()}}

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return {"tokens": encode(body["prompt"])}


def test_control_tokens_come_from_templates_only(start: Callable[..., Any]) -> None:
    _, engine = start()
    assert engine.tokenize("a<|im_end|>", parse_special=True) == [97, END]
    assert END not in engine.tokenize("a<|im_end|>", parse_special=False)


@pytest.mark.parametrize(
    "knows",
    [
        ("structured_outputs.json", "structured_outputs.grammar"),
        ("guided_json", "guided_grammar"),
    ],
)
async def test_constraints_go_through_the_servers_own_field(
    start: Callable[..., Any], knows: tuple[str, ...]
) -> None:
    server, engine = start(knows=knows)
    assert (engine.facts.json_schema, engine.facts.grammar) == (True, True)
    text, _, _ = await collect(engine, Generate(PROMPT, constraint=schema(const="ja")))
    assert text == '"ja"'
    assert "x-guidance" not in json.dumps(server.bodies[-1])
    text, _, _ = await collect(engine, Generate(PROMPT, constraint=LARK))
    assert text == "ja"


@pytest.mark.parametrize(
    ("knows", "constraint", "said"),
    [
        ((), schema(type="object"), "did not keep to a JSON schema"),
        (("guided_json",), LARK, "does not take the grammars"),
    ],
)
async def test_what_was_not_kept_when_tried_is_refused(
    start: Callable[..., Any], knows: tuple[str, ...], constraint: Constraint, said: str
) -> None:
    server, engine = start(knows=knows)
    before = len(server.bodies)
    with pytest.raises(GrammarRejected, match=said):
        await collect(engine, Generate(PROMPT, constraint=constraint))
    assert len(server.bodies) == before


async def test_a_broken_promise_is_an_error(start: Callable[..., Any]) -> None:
    server, engine = start()
    server.reply = '{"n": "one"}'
    wanted = schema(type="object", properties={"n": {"type": "integer"}})
    with pytest.raises(GenerationFailed, match="did not keep to the form.*one"):
        await collect(engine, Generate(PROMPT, constraint=wanted))
    grammar = Constraint("%llguidance {}\nstart: /[a-z]+/\n")
    with pytest.raises(GenerationFailed, match="left its grammar"):
        await collect(engine, Generate(PROMPT, constraint=grammar))


async def test_a_schema_the_server_refuses_is_the_callers_matter(start: Callable[..., Any]) -> None:
    _, engine = start()
    with pytest.raises(GrammarRejected, match="Failed to compile"):
        await collect(engine, Generate(PROMPT, constraint=schema(type="string", title="oops")))


async def test_scores_are_the_prompts_probabilities(start: Callable[..., Any]) -> None:
    _, engine = start()
    scores = await engine.score(PROMPT, [[100, 200], [], [300]])
    assert scores == [[-1.0, -2.0], [], [-3.0]]


def test_a_server_without_probabilities_cannot_score(start: Callable[..., Any]) -> None:
    _, engine = start(tells_logprobs=False)
    assert not engine.facts.score


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tells_tokenizer": False}, "--enable-tokenizer-info-endpoint"),
        ({"tells_token_ids": False}, "0.10.2 or newer"),
    ],
)
def test_a_server_that_cannot_be_used_safely_is_refused(
    start: Callable[..., Any], options: dict[str, bool], said: str
) -> None:
    with pytest.raises(ModelLoadFailed, match=said):
        start(**options)


async def test_an_error_in_the_middle_of_the_stream(start: Callable[..., Any]) -> None:
    server, engine = start()
    server.mishap = {"error": {"message": "EngineCore died", "code": 500}}
    with pytest.raises(GenerationFailed, match="EngineCore died"):
        await collect(engine, Generate(PROMPT))


async def test_an_answer_that_the_server_gave_up(start: Callable[..., Any]) -> None:
    server, engine = start()
    choice = {"index": 0, "text": "", "token_ids": [], "finish_reason": "abort"}
    server.mishap = {"choices": [choice]}
    with pytest.raises(GenerationFailed, match="gave up"):
        await collect(engine, Generate(PROMPT))


async def test_an_overflow_that_only_the_server_sees(start: Callable[..., Any]) -> None:
    _, engine = start()
    stream = engine._dialect.stream([1] * MAX_MODEL_LEN, SamplingParams(), 1, {})
    with pytest.raises(ContextLengthExceeded, match="Please reduce"):
        async for _ in stream:
            pass


async def test_leaving_ends_the_answer_there(start: Callable[..., Any]) -> None:
    server, engine = start()
    server.pause_seconds = 0.05
    async with aclosing(engine.generate(Generate(PROMPT))) as answer:
        await anext(answer)
    assert await asyncio.to_thread(server.was_left.wait, 20)


async def test_a_model_that_was_replaced_is_noticed(start: Callable[..., Any]) -> None:
    server, engine = start()
    await collect(engine, Generate(PROMPT))
    asked = len(server.bodies)
    server.max_model_len = 200
    for _ in range(2):
        with pytest.raises(GenerationFailed, match="another model now"):
            await collect(engine, Generate(PROMPT))
    with pytest.raises(GenerationFailed, match="another model now"):
        await engine.score(PROMPT, [[5]])
    assert len(server.bodies) == asked and engine.is_broken
