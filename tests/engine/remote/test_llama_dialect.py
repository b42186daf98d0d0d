"""Builds of llama-server that are not at hand: without llguidance, or with rarer events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from localassist.core import Constraint, SamplingParams, Usage
from localassist.engine import Finished, Generate, Piece
from localassist.engine.remote import ServerAddress, ServerEngine
from localassist.engine.remote.dialect import Chunk, ServerFacts
from localassist.engine.remote.llama_server import LlamaServer
from localassist.engine.remote.wire import RequestRefused
from localassist.errors import GenerationFailed
from localassist.tools.schema import value_problem

PROPS = {
    "default_generation_settings": {"n_ctx": 100},
    "chat_template": "",
    "bos_token": "<s>",
}
CARD = {"id": "m", "meta": {"n_vocab": 9}}


class Played:
    """A connection whose server answers by script; text and tokens are characters."""

    def __init__(self, *events: dict[str, Any], json_schema: Any = None) -> None:
        self.bodies: list[Mapping[str, Any]] = []
        self.address = ServerAddress("http://far")
        self._events = events
        self._json_schema = json_schema

    def get(self, path: str) -> Any:
        return PROPS

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        self.bodies.append(body)
        if path == "/tokenize":
            return {"tokens": [ord(character) for character in body["content"]]}
        if path == "/detokenize":
            return {"content": "".join(f"<{token}>" for token in body["tokens"])}
        if "json_schema" in body and isinstance(self._json_schema, Exception):
            raise self._json_schema
        return {"content": '"qz7"', "generation_settings": {"grammar": self._json_schema}}

    async def fetch(self, path: str) -> Any:
        return {"data": [CARD]}

    async def post_each(self, path: str, bodies: Sequence[Mapping[str, Any]]) -> list[Any]:
        return [{"completion_probabilities": [{"id": 1, "logprob": -1}]} for _ in bodies]

    async def stream(self, path: str, body: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        for event in self._events:
            yield event


def dialect(wire: Played) -> LlamaServer:
    return LlamaServer(wire, CARD)  # type: ignore[arg-type]


def test_a_build_without_llguidance_never_gets_our_grammars() -> None:
    """It would end its process over one."""
    wire = Played(json_schema='root ::= "\\"qz7\\"" space')
    facts = dialect(wire).facts()
    assert (facts.json_schema, facts.grammar, facts.score) == (True, False, False)
    assert not any("%llguidance" in str(body.get("grammar")) for body in wire.bodies)
    assert (facts.chat_template, facts.special_tokens) == (None, {"bos_token": "<s>"})


def test_a_build_that_refuses_schemas_promises_nothing() -> None:
    facts = dialect(Played(json_schema=RequestRefused("no"))).facts()
    assert (facts.json_schema, facts.grammar) == (False, False)


def test_a_build_that_ignores_grammars_promises_schemas_only() -> None:
    """The text of the second trial is not the one that the grammar allows."""
    facts = dialect(Played(json_schema="%llguidance {}\nstart: %json {}")).facts()
    assert (facts.json_schema, facts.grammar) == (True, False)


def event(text: str, tokens: list[int], predicted: int) -> dict[str, Any]:
    return {"content": text, "tokens": tokens, "tokens_predicted": predicted, "stop": False}


async def played(*events: dict[str, Any]) -> list[Chunk]:
    stream = dialect(Played(*events)).stream([1], SamplingParams(), 9, {})
    return [chunk async for chunk in stream]


async def test_control_tokens_inside_an_answer_are_shown() -> None:
    end = {"stop": True, "stop_type": "eos", "timings": {"cache_n": 4}}
    chunks = await played(event("a", [97], 1), event("", [7], 2), event("b", [98], 3), end)
    assert chunks == [
        Chunk("a", (97,)),
        Chunk("<7>", (7,)),
        Chunk("b", (98,)),
        Chunk(end="stop", cached_tokens=4),
    ]


async def test_the_token_that_ends_an_answer_is_not_part_of_it() -> None:
    end = {"stop": True, "stop_type": "eos"}
    assert await played(event("", [2], 1), end) == [Chunk(end="stop")]


@pytest.mark.parametrize(("stop_type", "tokens"), [("eos", [7, 2]), ("limit", [7])])
async def test_a_control_token_before_the_end_is_part_of_the_answer(
    stop_type: str, tokens: list[int]
) -> None:
    events = [event("", [token], index + 1) for index, token in enumerate(tokens)]
    chunks = await played(*events, {"stop": True, "stop_type": stop_type})
    assert chunks[0] == Chunk("<7>", (7,))
    assert [chunk.end is not None for chunk in chunks] == [False, True]


async def test_the_missing_tokens_of_a_character_are_found_again() -> None:
    chunks = await played(event("xyz", [122], 3), {"stop": True, "stop_type": "limit"})
    assert chunks == [Chunk("xyz", (120, 121, 122)), Chunk(end="length")]


@pytest.mark.parametrize("bad", [{"content": 3}, {"content": "a"}, {"content": "a", "tokens": "b"}])
async def test_events_of_another_shape_are_an_error(bad: dict[str, Any]) -> None:
    with pytest.raises(GenerationFailed, match="has no"):
        await played(bad)


async def test_another_token_than_the_forced_one_is_noticed() -> None:
    with pytest.raises(GenerationFailed, match="native or none"):
        await dialect(Played()).score([1], [[5]])


def engine_over(wire: Any) -> ServerEngine:
    return ServerEngine("far", wire, dialect(wire), ServerFacts("m", 100), CARD, value_problem)


async def test_what_stands_before_a_stop_string_is_spelled_anew() -> None:
    wire = Played(event("abc", [7], 1), event("never", [8], 2))
    engine = engine_over(wire)
    items = [item async for item in engine.generate(Generate([1], SamplingParams(stop=("b",))))]
    assert items == [Piece("a", (97,)), Finished("stop", Usage(1, 1, 0))]


async def test_an_answer_without_an_end_was_broken_off() -> None:
    wire = Played(event("a", [97], 1))
    engine = engine_over(wire)
    with pytest.raises(GenerationFailed, match="broke off before the end"):
        async for _ in engine.generate(Generate([1])):
            pass


@pytest.mark.parametrize("said", ["a", "b"])
async def test_a_grammar_with_control_tokens_is_watched_by_their_spelling(said: str) -> None:
    header = "%llguidance {}\n"
    constraint = Constraint(
        f'{header}start: <[70000]> "a"\n', text_grammar=f'{header}start: "<70000>" "a"\n'
    )
    wire = Played(event("", [70000], 1), event(said, [97], 2), {"stop": True, "stop_type": "eos"})
    facts = ServerFacts("m", 100, grammar=True)
    engine = ServerEngine("far", wire, dialect(wire), facts, CARD, value_problem)  # type: ignore[arg-type]
    request = Generate([1], constraint=constraint)
    if said == "b":
        with pytest.raises(GenerationFailed, match="left its grammar"):
            [item async for item in engine.generate(request)]
        return
    items = [item async for item in engine.generate(request)]
    assert [item.text for item in items if isinstance(item, Piece)] == ["<70000>", "a"]
