"""An engine whose work is measured: what it takes to read a prompt, to write, and to score."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from localassist.engine.request import Engine, Finished, Generate, Piece
from localassist.observability import spans
from localassist.observability.timeline import DECODE, PREFILL, SCORING

REQUEST = "engine request"


class MeasuredEngine:
    """``Engine`` by way of another one, which stays whose it is."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def model_id(self) -> str:
        return self._engine.model_id

    @property
    def context_length(self) -> int:
        return self._engine.context_length

    @property
    def chat_template(self) -> str | None:
        return self._engine.chat_template

    @property
    def special_tokens(self) -> dict[str, str]:
        return self._engine.special_tokens

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        return self._engine.tokenize(text, parse_special=parse_special)

    def detokenize(self, token_ids: Sequence[int]) -> str:
        return self._engine.detokenize(token_ids)

    async def generate(self, request: Generate) -> AsyncGenerator[Piece | Finished, None]:
        """The prompt is read when the first piece comes; that it had to wait for others counts."""
        whole = spans.begin_group(REQUEST, model=self.model_id)
        reading = spans.begin(PREFILL, whole, tokens=len(request.prompt) + len(request.continued))
        writing: spans.Measured | None = None
        tokens = 0
        try:
            async with aclosing(self._engine.generate(request)) as items:
                async for item in items:
                    if writing is None:
                        reading.end()
                        writing = spans.begin(DECODE, whole, tokens=0)
                    if isinstance(item, Piece):
                        tokens += len(item.token_ids)
                    else:
                        reading.note(cached_tokens=item.usage.cached_tokens)
                        whole.note(cached_tokens=item.usage.cached_tokens)
                        # What is done with the end of an answer is not a part of writing it.
                        writing.note(tokens=tokens)
                        writing.end()
                    yield item
        finally:
            reading.end()
            if writing is not None:
                writing.note(tokens=tokens)
                writing.end()
            whole.end()

    async def score(
        self, prompt: Sequence[int], continuations: Sequence[Sequence[int]]
    ) -> list[list[float]]:
        tokens = len(prompt) + sum(map(len, continuations))
        with spans.measured(SCORING, tokens=tokens):
            return await self._engine.score(prompt, continuations)

    async def close(self) -> None:
        await self._engine.close()
