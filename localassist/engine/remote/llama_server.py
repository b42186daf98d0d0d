"""llama-server, the HTTP server of llama.cpp, and what embeds it.

Prompts go as token ids over its native ``/completion``. A server built with llguidance takes our
grammars; that is read from how it translates a JSON schema, because one built without it ends its
process over such a grammar. A grammar that it cannot compile is silently ignored, so nothing goes
there that was not compiled here, and the engine watches the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, ClassVar

from localassist.core import Constraint, FinishReason, SamplingParams
from localassist.engine.remote.dialect import (
    PROBE_GRAMMAR,
    PROBE_SCHEMA,
    PROBE_TEXT,
    PROBE_TOKENS,
    Chunk,
    Enforcement,
    ServerFacts,
    context_of,
    plain_schema,
    said_json,
    text_of,
    tokens_of,
)
from localassist.engine.remote.wire import RequestRefused, Wire
from localassist.engine.sampler import COLDEST
from localassist.errors import GenerationFailed, ModelLoadFailed

_MAX_SEED = 0xFFFF_FFFE  # the value after it means "random"
_FORCED = 1e9  # no logit reaches it
_SAMPLERS = ["penalties", "temperature", "top_k", "top_p", "min_p"]


class LlamaServer:
    """See ``dialect.Dialect``."""

    name: ClassVar[str] = "llama-server"

    def __init__(self, wire: Wire, card: Mapping[str, Any]) -> None:
        self._wire = wire
        self._model = str(card["id"])
        size = (card.get("meta") or {}).get("n_vocab")
        self._vocab_size = size if type(size) is int else None
        self._takes_grammar = False

    def facts(self) -> ServerFacts:
        props = self._wire.get("/props")
        settings = props.get("default_generation_settings") if isinstance(props, dict) else None
        if not isinstance(settings, dict):
            raise ModelLoadFailed("The model server's /props does not describe a loaded model.")
        template = props.get("chat_template")
        prompt = self.tokenize(".", parse_special=False)
        json_schema, grammar = self._keeps_to(prompt)
        return ServerFacts(
            model=self._model,
            context_length=context_of(settings.get("n_ctx")),
            chat_template=template if isinstance(template, str) and template else None,
            special_tokens={
                name: value
                for name in ("bos_token", "eos_token")
                if isinstance(value := props.get(name), str)
            },
            vocab_size=self._vocab_size,
            json_schema=json_schema,
            grammar=grammar,
            score=self._can_score(prompt),
        )

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        body = {"content": text, "add_special": False, "parse_special": parse_special}
        return tokens_of(self._wire.post("/tokenize", body))

    def detokenize(self, token_ids: Sequence[int]) -> str:
        return text_of(self._wire.post("/detokenize", {"tokens": list(token_ids)}), "content")

    def enforce(self, constraint: Constraint) -> Enforcement:
        schema = plain_schema(constraint)
        # The grammar says the most; a server without llguidance gets what it understands.
        if self._takes_grammar or schema is None:
            return Enforcement({"grammar": constraint.grammar}, is_grammar=True)
        return Enforcement({"json_schema": schema}, is_grammar=False)

    async def stream(
        self,
        prompt: Sequence[int],
        sampling: SamplingParams,
        max_tokens: int,
        fields: dict[str, Any],
    ) -> AsyncGenerator[Chunk, None]:
        body = {**self._body(prompt, max_tokens), **_sampling(sampling), **fields, "stream": True}
        counted = 0
        hidden: list[int] = []  # control tokens, which the server does not render
        cached: int | None = None
        async for event in self._wire.stream("/completion", {**body, "timings_per_token": True}):
            cached = _cached(event, cached)
            if event.get("stop") is True:
                if event.get("stop_type") == "eos":
                    hidden = hidden[:-1]  # the end of the answer is no part of it
                if hidden:
                    shown = await asyncio.to_thread(self.detokenize, hidden)
                    yield Chunk(shown, tuple(hidden), cached_tokens=cached)
                yield Chunk(end=_reason(event), cached_tokens=cached)
                return
            text, tokens = text_of(event, "content"), tokens_of(event)
            predicted = event.get("tokens_predicted")
            fresh = predicted - counted if type(predicted) is int else len(tokens)
            counted += fresh
            if not text:
                hidden += tokens
                continue
            if hidden:
                shown = await asyncio.to_thread(self.detokenize, hidden)
                yield Chunk(shown, tuple(hidden), cached_tokens=cached)
                hidden.clear()
            if fresh != len(tokens):
                # Of a character made of several tokens only the last one is reported.
                tokens = await asyncio.to_thread(self.tokenize, text, parse_special=False)
            yield Chunk(text, tuple(tokens), cached_tokens=cached)

    async def score(
        self, prompt: Sequence[int], continuations: Sequence[Sequence[int]]
    ) -> list[list[float]]:
        """Each token is made to come next; the probability reported for it is the one it had."""
        asked = {
            (tuple(tokens[:position]), token): None
            for tokens in continuations
            for position, token in enumerate(tokens)
        }
        bodies = [self._forcing([*prompt, *before], token) for before, token in asked]
        answers = await self._wire.post_each("/completion", bodies)
        known = {
            (before, token): _forced_probability(answer, token)
            for (before, token), answer in zip(asked, answers, strict=True)
        }
        return [
            [known[tuple(tokens[:position]), token] for position, token in enumerate(tokens)]
            for tokens in continuations
        ]

    def _body(self, prompt: Sequence[int], max_tokens: int) -> dict[str, Any]:
        return {
            "model": self._model,
            "prompt": list(prompt),
            "n_predict": max_tokens,
            "return_tokens": True,
            "cache_prompt": True,
        }

    def _forcing(self, prompt: Sequence[int], token: int) -> dict[str, Any]:
        forced = {"temperature": 0, "n_probs": 1, "logit_bias": [[token, _FORCED]]}
        return {**self._body(prompt, 1), **forced, "samplers": ["temperature"]}

    def _keeps_to(self, prompt: list[int]) -> tuple[bool, bool]:
        """Whether JSON schemas and whether our grammars are kept to."""
        body = {**self._body(prompt, PROBE_TOKENS), "temperature": 0}
        try:
            answer = self._wire.post("/completion", {**body, "json_schema": PROBE_SCHEMA})
            if not said_json(text_of(answer, "content")):
                return False, False
            translated = (answer.get("generation_settings") or {}).get("grammar", "")
            if str(translated).startswith("%llguidance"):
                answer = self._wire.post("/completion", {**body, "grammar": PROBE_GRAMMAR})
                self._takes_grammar = text_of(answer, "content") == PROBE_TEXT
        except RequestRefused:
            return False, False
        return True, self._takes_grammar

    def _can_score(self, prompt: list[int]) -> bool:
        token = self.tokenize(PROBE_TEXT, parse_special=False)[-1]
        try:
            answer = self._wire.post("/completion", self._forcing(prompt, token))
            return _forced_probability(answer, token) < 0
        except GenerationFailed:
            return False


def _sampling(params: SamplingParams) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "samplers": _SAMPLERS,
        "temperature": 0 if params.temperature < COLDEST else params.temperature,
        "top_k": params.top_k,
        "top_p": params.top_p,
        "min_p": params.min_p,
        "repeat_penalty": params.repeat_penalty,
        "presence_penalty": params.presence_penalty,
        "frequency_penalty": params.frequency_penalty,
        "seed": -1 if params.seed is None else params.seed % (_MAX_SEED + 1),
    }
    if params.logit_bias:
        # JSON has no infinities; `false` is the server's word for "never".
        fields["logit_bias"] = [
            [token, False if bias == -float("inf") else bias]
            for token, bias in params.logit_bias.items()
        ]
    return fields


def _cached(event: dict[str, Any], known: int | None) -> int | None:
    timings = event.get("timings")
    value = timings.get("cache_n") if isinstance(timings, dict) else None
    return value if type(value) is int else known


def _reason(event: dict[str, Any]) -> FinishReason:
    return "stop" if event.get("stop_type") in ("eos", "word") else "length"


def _forced_probability(answer: Any, token: int) -> float:
    """The natural-log probability of the one token that was made to come."""
    try:
        (entry,) = answer["completion_probabilities"]
        if entry["id"] != token:
            raise ValueError("another token came")
        return float(entry["logprob"])
    except (KeyError, TypeError, ValueError) as error:
        raise GenerationFailed(
            "This model's server does not tell how likely a given token is, which guided function "
            "calls need. Set the model's tool_mode to native or none."
        ) from error
