"""The engine as a guided caller uses it, and what that costs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from localassist.core import Constraint, SamplingParams, Usage
from localassist.engine.request import Engine, Finished, Generate
from localassist.errors import GrammarRejected

_VALUE_TOKENS = 160
_SCORED_TOKENS = 256  # of a question, for each tool anew: a long one ends with what it wants


class Work:
    """Engine calls of one plan. ``usage`` is their sum."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.usage = Usage()

    async def log_probability(self, context: str, question: str) -> float:
        """Mean log-probability of the question's tokens after the context."""
        prompt = await self._tokens(context)
        asked = (await self._tokens(f" {question}"))[-_SCORED_TOKENS:]
        (log_probabilities,) = await self._engine.score(prompt, [asked])
        self.usage += Usage(prompt_tokens=len(prompt) + len(asked))
        return sum(log_probabilities) / max(1, len(log_probabilities))

    async def rank(self, prompt: Sequence[int], key: str, texts: Sequence[str]) -> list[float]:
        """Log-probability of each JSON text as the value after ``key``."""
        prefix = [*prompt, *await self._tokens(key)]
        continuations = [await self._tokens(f" {text}") for text in texts]
        scored = await self._engine.score(prefix, continuations)
        self.usage += Usage(prompt_tokens=len(prefix) + sum(map(len, continuations)))
        return [sum(tokens) for tokens in scored]

    async def decode(self, prompt: Sequence[int], key: str, grammar: str) -> str | None:
        """The JSON text of the value after ``key``; None when it did not come to an end."""
        prefix = await self._tokens(key)
        try:
            text = await self.generate([*prompt, *prefix], Constraint(grammar), _VALUE_TOKENS)
        except GrammarRejected:
            return None
        return text[:-1].strip() if text.endswith((",", "}")) else None

    async def generate(self, prompt: Sequence[int], constraint: Constraint, max_tokens: int) -> str:
        sampling = SamplingParams(temperature=0, max_tokens=max_tokens)
        text = ""
        async for item in self._engine.generate(Generate(prompt, sampling, constraint)):
            if isinstance(item, Finished):
                self.usage += item.usage
            else:
                text += item.text
        return text

    async def _tokens(self, text: str) -> list[int]:
        # A model on another server is asked over the network.
        return await asyncio.to_thread(self._engine.tokenize, text, parse_special=False)
