"""vLLM's server, over its completions endpoint with token ids.

Its tokenizer always reads control tokens where a text spells them. So texts of people are cut
inside every added token's spelling before they go there, for which the list of those tokens is
needed: the server has to be started with ``--enable-tokenizer-info-endpoint``. The chat template
comes from there too.
"""

from __future__ import annotations

import re
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
from localassist.errors import GenerationFailed, ModelLoadFailed, PromptRejected

_LEAST_TOP_P = 1e-6  # zero is refused
_MAX_SEED = 2**63 - 1
_COMPLETIONS = "/v1/completions"

# What newer and older releases call the same thing.
_SCHEMA_FIELDS = ("structured_outputs.json", "guided_json")
_GRAMMAR_FIELDS = ("structured_outputs.grammar", "guided_grammar")


class Vllm:
    """See ``dialect.Dialect``."""

    name: ClassVar[str] = "vllm"

    def __init__(self, wire: Wire, card: Mapping[str, Any]) -> None:
        self._wire = wire
        self._model = str(card["id"])
        self._context_length = card.get("max_model_len")
        self._added = re.compile(r"(?!)")
        self._added_ids: frozenset[int] = frozenset()
        self._schema_field: str | None = None
        self._grammar_field: str | None = None

    def facts(self) -> ServerFacts:
        context_length = context_of(self._context_length)
        info = self._tokenizer_info()
        prompt = self._ids(".")
        self._check_reports_tokens(prompt)
        self._schema_field = self._kept(prompt, _SCHEMA_FIELDS, PROBE_SCHEMA)
        self._grammar_field = self._kept(prompt, _GRAMMAR_FIELDS, PROBE_GRAMMAR)
        template = info.get("chat_template")
        return ServerFacts(
            model=self._model,
            context_length=context_length,
            chat_template=template if isinstance(template, str) else None,
            special_tokens={
                name: text
                for name in ("bos_token", "eos_token")
                if (text := _spelling(info.get(name))) is not None
            },
            json_schema=self._schema_field is not None,
            grammar=self._grammar_field is not None,
            score=self._can_score(prompt),
        )

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        if parse_special:
            return self._ids(text)
        tokens = [token for part in self._cut(text) for token in self._ids(part)]
        if not self._added_ids.isdisjoint(tokens):
            raise PromptRejected(
                "A message spells a control token of this model in a way that its server cannot "
                "be kept from reading as one."
            )
        return tokens

    def detokenize(self, token_ids: Sequence[int]) -> str:
        body = {"model": self._model, "tokens": list(token_ids)}
        return text_of(self._wire.post("/detokenize", body), "prompt")

    def enforce(self, constraint: Constraint) -> Enforcement:
        schema = plain_schema(constraint)
        if schema is not None and self._schema_field is not None:
            return Enforcement(_nested(self._schema_field, schema), is_grammar=False)
        assert self._grammar_field is not None, "facts promised it"
        return Enforcement(_nested(self._grammar_field, constraint.grammar), is_grammar=True)

    async def stream(
        self,
        prompt: Sequence[int],
        sampling: SamplingParams,
        max_tokens: int,
        fields: dict[str, Any],
    ) -> AsyncGenerator[Chunk, None]:
        body = {**self._body(prompt, max_tokens), **_sampling(sampling), **fields}
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        held: list[int] = []  # tokens of a character that is not whole yet
        end: FinishReason | None = None
        cached: int | None = None
        async for event in self._wire.stream(_COMPLETIONS, body):
            cached = _cached(event, cached)
            for choice in event.get("choices") or ():
                text, tokens = text_of(choice, "text"), tokens_of(choice, "token_ids")
                finish = choice.get("finish_reason")
                if finish is not None:
                    end = _reason(finish)
                    # The token that ended the answer is reported, but not part of it.
                    tokens = tokens[:-1] if end == "stop" else tokens
                held += tokens
                if text:
                    yield Chunk(text, tuple(held), cached_tokens=cached)
                    held.clear()
        if end is not None:
            yield Chunk(end=end, cached_tokens=cached)

    async def score(
        self, prompt: Sequence[int], continuations: Sequence[Sequence[int]]
    ) -> list[list[float]]:
        asked = [tokens for tokens in continuations if tokens]
        bodies = [self._scoring([*prompt, *tokens]) for tokens in asked]
        answers = iter(await self._wire.post_each(_COMPLETIONS, bodies))
        return [_probabilities(next(answers), tokens) if tokens else [] for tokens in continuations]

    def _body(self, prompt: Sequence[int], max_tokens: int) -> dict[str, Any]:
        return {
            "model": self._model,
            "prompt": list(prompt),
            "max_tokens": max_tokens,
            "return_token_ids": True,
            "skip_special_tokens": False,
            "spaces_between_special_tokens": False,
            "add_special_tokens": False,
        }

    def _scoring(self, prompt: Sequence[int]) -> dict[str, Any]:
        return {**self._body(prompt, 1), "temperature": 0, "prompt_logprobs": 0}

    def _ids(self, text: str) -> list[int]:
        if not text:
            return []
        body = {"model": self._model, "prompt": text, "add_special_tokens": False}
        return tokens_of(self._wire.post("/tokenize", body))

    def _cut(self, text: str) -> list[str]:
        """The text in parts, none of which spells an added token."""
        cuts = {found.start() + 1 for found in self._added.finditer(text)}
        bounds = [0, *sorted(cuts), len(text)]
        return [text[start:end] for start, end in zip(bounds, bounds[1:], strict=False)]

    def _tokenizer_info(self) -> dict[str, Any]:
        """Template and added tokens; without them a message could forge a turn."""
        try:
            info = self._wire.get("/tokenizer_info")
            added = {
                int(token): _spelling(text) for token, text in info["added_tokens_decoder"].items()
            }
        except (GenerationFailed, KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelLoadFailed(
                "The model server does not tell its tokenizer's control tokens, so a message could "
                "forge a turn. Start vLLM with --enable-tokenizer-info-endpoint."
            ) from error
        # A single character cannot be cut, and marks no turn either.
        added = {token: text for token, text in added.items() if text is None or len(text) > 1}
        self._added_ids = frozenset(added)
        texts = sorted({text for text in added.values() if text}, key=len, reverse=True)
        # Looked ahead for, so that of spellings that overlap each one is found.
        pattern = "|".join(map(re.escape, texts)) or r"(?!)"
        self._added = re.compile(f"(?=({pattern}))", re.IGNORECASE)
        return dict(info)

    def _check_reports_tokens(self, prompt: list[int]) -> None:
        answer = self._wire.post(_COMPLETIONS, {**self._body(prompt, 1), "temperature": 0})
        if not isinstance(_choice(answer).get("token_ids"), list):
            raise ModelLoadFailed(
                "The model server does not tell which tokens it answers with. "
                "Use vLLM 0.10.2 or newer."
            )

    def _kept(self, prompt: list[int], fields: Sequence[str], constraint: Any) -> str | None:
        """The first field that holds the server to ``constraint``; unknown ones are ignored."""
        body = {**self._body(prompt, PROBE_TOKENS), "temperature": 0, "skip_special_tokens": True}
        for field in fields:
            try:
                answer = self._wire.post(_COMPLETIONS, {**body, **_nested(field, constraint)})
            except RequestRefused:
                continue
            text = _choice(answer).get("text")
            if text == PROBE_TEXT or (constraint is PROBE_SCHEMA and said_json(text)):
                return field
        return None

    def _can_score(self, prompt: list[int]) -> bool:
        tokens = self._ids(PROBE_TEXT)
        try:
            answer = self._wire.post(_COMPLETIONS, self._scoring([*prompt, *tokens]))
            return all(value <= 0 for value in _probabilities(answer, tokens))
        except GenerationFailed:
            return False


def _sampling(params: SamplingParams) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "temperature": 0 if params.temperature < COLDEST else params.temperature,
        "top_k": params.top_k or -1,
        "top_p": max(params.top_p, _LEAST_TOP_P),
        "min_p": params.min_p,
        "repetition_penalty": params.repeat_penalty,
        "presence_penalty": params.presence_penalty,
        "frequency_penalty": params.frequency_penalty,
    }
    if params.seed is not None:
        fields["seed"] = params.seed % (_MAX_SEED + 1)
    if params.logit_bias:
        # The server holds them between -100 and 100, as the hosted API does.
        fields["logit_bias"] = {
            str(token): max(-100.0, min(100.0, bias)) for token, bias in params.logit_bias.items()
        }
    return fields


def _nested(path: str, value: Any) -> dict[str, Any]:
    name, _, inner = path.partition(".")
    return {name: {inner: value} if inner else value}


def _spelling(token: Any) -> str | None:
    """A token's text, given plainly or with its properties."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else None


def _choice(answer: Any) -> dict[str, Any]:
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise GenerationFailed("The model server's answer has no `choices`.")
    return choices[0]


def _reason(finish: object) -> FinishReason:
    if finish == "stop":
        return "stop"
    if finish == "length":
        return "length"
    raise GenerationFailed(f"The model server gave up on the answer ({finish}). Its log says why.")


def _cached(event: dict[str, Any], known: int | None) -> int | None:
    details = (event.get("usage") or {}).get("prompt_tokens_details") or {}
    value = details.get("cached_tokens")
    return value if type(value) is int else known


def _probabilities(answer: Any, tokens: Sequence[int]) -> list[float]:
    """The natural-log probabilities of the prompt's last tokens."""
    try:
        entries = _choice(answer)["prompt_logprobs"][-len(tokens) :]
        return [
            float(entry[str(token)]["logprob"])
            for entry, token in zip(entries, tokens, strict=True)
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise GenerationFailed(
            "This model's server does not tell how likely a prompt's tokens are, which guided "
            "function calls need. Set the model's tool_mode to native or none."
        ) from error
