"""A model on another server behind the ``Engine`` protocol: threads, runs and files stay here,
that server computes. Says what cannot be had before anything is generated, and watches the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from localassist.core import Constraint, FinishReason, Usage
from localassist.engine.remote.answer import Answer, Released
from localassist.engine.remote.dialect import (
    Chunk,
    Dialect,
    ServerFacts,
    check_constraint,
    plain_schema,
)
from localassist.engine.remote.guard import (
    CheckValue,
    GrammarGuard,
    Guard,
    SchemaGuard,
    Unguarded,
)
from localassist.engine.remote.listing import MODELS_PATH, find_card, is_same
from localassist.engine.remote.token_cache import TokenCache
from localassist.engine.remote.wire import RequestRefused, Wire
from localassist.engine.request import (
    Finished,
    Generate,
    Piece,
    check_prompt,
    check_tokens,
)
from localassist.engine.sampler import check_sampling
from localassist.errors import (
    GenerationFailed,
    GrammarRejected,
    ModelLoadFailed,
    ShuttingDown,
    UnsupportedParameter,
)

_REMEMBERED_TOKENS = 500_000
_ANY_VOCABULARY = 2**31


class ServerEngine:
    """One model of one server. Readers may live on several event loops.

    ``card`` is the model's entry in the server's list, and ``check_value`` says why a JSON text
    does not fit a schema. ``tokenize`` and ``detokenize`` ask the server unless they know the
    answer, and block meanwhile.
    """

    def __init__(
        self,
        model_id: str,
        wire: Wire,
        dialect: Dialect,
        facts: ServerFacts,
        card: Mapping[str, Any],
        check_value: CheckValue,
    ) -> None:
        self.facts = facts
        self._model_id = model_id
        self._wire = wire
        self._dialect = dialect
        self._card = card
        self._check_value = check_value
        self._known = TokenCache(
            lambda text, parse_special: dialect.tokenize(text, parse_special=parse_special),
            _REMEMBERED_TOKENS,
        )
        self._is_closed = False
        self._is_replaced = False

    @property
    def model_id(self) -> str:
        return self._model_id

    @property
    def server_kind(self) -> str:
        return self._dialect.name

    @property
    def context_length(self) -> int:
        return self.facts.context_length

    @property
    def chat_template(self) -> str | None:
        return self.facts.chat_template

    @property
    def special_tokens(self) -> dict[str, str]:
        return {"bos_token": "", "eos_token": "", **self.facts.special_tokens}

    @property
    def is_broken(self) -> bool:
        """The server was away or has another model now, so it has to be asked anew."""
        return self._wire.is_cut or self._is_replaced

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        self._check_open()
        return self._known.tokenize(text, parse_special) if text else []

    def detokenize(self, token_ids: Sequence[int]) -> str:
        self._check_open()
        self._check_tokens(token_ids)
        return self._dialect.detokenize(token_ids) if token_ids else ""

    async def generate(self, request: Generate) -> AsyncGenerator[Piece | Finished, None]:
        self._check_open()
        check_sampling(request.sampling, self.facts.vocab_size or _ANY_VOCABULARY)
        if request.sampling.top_logprobs is not None:
            raise UnsupportedParameter(
                "Unsupported parameter: 'logprobs'. Log probabilities are told only by models that "
                f"run in this process; '{self.model_id}' is on another server.",
                param="logprobs",
            )
        self._check_prompt(request.prompt, len(request.prompt))
        self._check_tokens(request.continued)
        guard: Guard = Unguarded()
        fields: dict[str, Any] = {}
        if request.constraint is not None:
            guard, fields = await self._constrained(request, request.constraint)
        try:
            async with aclosing(self._answer(request, guard, fields)) as items:
                async for item in items:
                    yield item
        except RequestRefused as error:
            raise _blamed(error, request.constraint) from error

    async def _answer(
        self, request: Generate, guard: Guard, fields: dict[str, Any]
    ) -> AsyncGenerator[Piece | Finished, None]:
        answer = Answer(request.sampling.stop)
        reason: FinishReason | None = None
        cached_tokens = 0
        async with aclosing(self._chunks(request, fields)) as chunks:
            async for chunk in chunks:
                self._check_open()
                cached_tokens = chunk.cached_tokens or cached_tokens
                if chunk.end is not None:
                    reason = chunk.end
                    break
                piece = await self._piece(answer.push(chunk), guard)
                if piece is not None:
                    yield piece
                if answer.is_stopped:
                    reason = "stop"
                    break
        if reason is None:
            raise GenerationFailed("The model server broke off before the end of the answer.")
        piece = await self._piece(answer.flush(), guard)
        if piece is not None:
            yield piece
        if reason == "stop" and not answer.is_stopped:
            guard.finish()
        usage = Usage(
            prompt_tokens=len(request.prompt),
            completion_tokens=len(request.continued) + answer.completion_tokens,
            cached_tokens=min(cached_tokens, len(request.prompt)),
        )
        yield Finished(reason, usage)

    async def _chunks(
        self, request: Generate, fields: dict[str, Any]
    ) -> AsyncGenerator[Chunk, None]:
        """What the server answers, in the room that context and request leave."""
        prompt = [*request.prompt, *request.continued]
        room = self.context_length - len(prompt)
        if request.sampling.max_tokens is not None:
            room = min(room, request.sampling.max_tokens - len(request.continued))
        if room <= 0:
            yield Chunk(end="length")
            return
        await self._check_same_model()
        stream = self._dialect.stream(prompt, request.sampling, room, fields)
        async with aclosing(stream) as chunks:
            async for chunk in chunks:
                yield chunk

    async def score(
        self, prompt: Sequence[int], continuations: Sequence[Sequence[int]]
    ) -> list[list[float]]:
        self._check_open()
        longest = max((len(tokens) for tokens in continuations), default=0)
        self._check_prompt(prompt, len(prompt) + longest)
        for tokens in continuations:
            self._check_tokens(tokens)
        if longest == 0:
            return [[] for _ in continuations]
        await self._check_same_model()
        return await self._dialect.score(prompt, continuations)

    async def close(self) -> None:
        """Running answers end with their next piece."""
        self.disconnect()

    def disconnect(self) -> None:
        """``close`` for callers without an event loop."""
        self._is_closed = True
        self._wire.close()

    async def _constrained(
        self, request: Generate, constraint: Constraint
    ) -> tuple[Guard, dict[str, Any]]:
        check_constraint(self.facts, constraint)
        if request.continued:
            raise GenerationFailed(
                "The answer was interrupted, and the model's server cannot take up an answer of a "
                "given form in its middle. Start the run again."
            )
        enforcement = self._dialect.enforce(constraint)
        if enforcement.is_grammar:
            guard = await asyncio.to_thread(
                GrammarGuard, constraint.text_grammar or constraint.grammar
            )
            return guard, enforcement.fields
        # Whitespace is free under a schema, so only the finished value can be checked.
        schema = plain_schema(constraint)
        assert schema is not None, "enforced by its schema"
        return SchemaGuard(schema, self._check_value), enforcement.fields

    async def _piece(self, released: Released | None, guard: Guard) -> Piece | None:
        if released is None:
            return None
        guard.feed(released.text)
        token_ids = released.token_ids
        if released.unspelled:
            token_ids += tuple(
                await asyncio.to_thread(self.tokenize, released.unspelled, parse_special=False)
            )
        return Piece(released.text, token_ids)

    async def _check_same_model(self) -> None:
        """Raise GenerationFailed when the server was restarted with another model meanwhile: the
        prompt's tokens would mean something else there."""
        listing = await self._wire.fetch(MODELS_PATH)
        try:
            is_same_model = is_same(find_card(listing, self._wire.address.model), self._card)
        except ModelLoadFailed:
            is_same_model = False
        if not is_same_model:
            self._is_replaced = True
            raise GenerationFailed("The model server serves another model now. Ask again.")

    def _check_open(self) -> None:
        if self._is_closed:
            raise ShuttingDown("The engine is closed.")

    def _check_prompt(self, prompt: Sequence[int], needed: int) -> None:
        size, context_length = self.facts.vocab_size or _ANY_VOCABULARY, self.context_length
        check_prompt(prompt, needed, context_length=context_length, vocab_size=size)

    def _check_tokens(self, tokens: Sequence[int]) -> None:
        check_tokens(tokens, self.facts.vocab_size or _ANY_VOCABULARY)


def _blamed(error: RequestRefused, constraint: Constraint | None) -> Exception:
    """A refused request is the constraint's fault where there is one; the rest was checked."""
    if constraint is None:
        return error
    return GrammarRejected(f"The model server cannot guarantee this form. {error.message}")
