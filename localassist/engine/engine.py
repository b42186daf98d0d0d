"""The embedded engine: an asynchronous face over the worker that owns the model.

Checks requests, compiles grammars off the event loop, and turns streams into iterators. Prompts
come in as tokens; roles, templates and tools are unknown here.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from pathlib import Path

from localassist.engine.backend import Backend
from localassist.engine.config import EngineSettings
from localassist.engine.counters import EngineCounters
from localassist.engine.delivery import Stream
from localassist.engine.drafts import PromptLookup
from localassist.engine.generation import Generation, Scores
from localassist.engine.grammar import GrammarCompiler
from localassist.engine.request import (
    Finished,
    Generate,
    Piece,
    check_prompt,
    check_tokens,
)
from localassist.engine.sampler import check_sampling
from localassist.engine.scoring import Scoring
from localassist.engine.worker import Worker
from localassist.errors import (
    Overloaded,
    ShuttingDown,
)


class LlamaEngine:
    """One loaded model behind the ``Engine`` protocol. Readers may live on several event loops."""

    def __init__(
        self,
        open_backend: Callable[[], Backend],
        model_id: str,
        settings: EngineSettings,
        *,
        snapshot_folder: Path | None = None,
    ) -> None:
        """``open_backend`` is called on the engine's own thread, and waited for. Without a
        ``snapshot_folder`` conversations are kept in memory only."""
        self._settings = settings
        self._propose_drafts = None
        if settings.speculation != "off":
            self._propose_drafts = partial(
                PromptLookup,
                longest=settings.draft_tokens,
                is_adaptive=settings.speculation == "auto",
            )
        self._worker = Worker(
            open_backend, settings, name=model_id, snapshot_folder=snapshot_folder
        )
        self._backend = backend = self._worker.backend
        self._model_id = model_id
        self._grammars = GrammarCompiler(backend.grammar_tokenizer, backend.model.vocab_size)
        self._vocabulary = threading.Lock()  # the vocabulary is read by many threads until close
        self._is_closed = False

    @property
    def model_id(self) -> str:
        return self._model_id

    @property
    def context_length(self) -> int:
        return self._backend.limits.context_length

    @property
    def chat_template(self) -> str | None:
        return self._backend.model.chat_template

    @property
    def special_tokens(self) -> dict[str, str]:
        model = self._backend.model
        return {"bos_token": model.bos_text, "eos_token": model.eos_text}

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """The tokens that end an answer."""
        return self._backend.model.end_tokens

    @property
    def is_broken(self) -> bool:
        """The backend failed: requests end in GenerationFailed until the model is loaded anew."""
        return self._worker.has_failed

    @property
    def counters(self) -> EngineCounters:
        return self._worker.counters

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        with self._vocabulary:
            self._check_open()
            return self._backend.tokenize(text, parse_special=parse_special)

    def detokenize(self, token_ids: Sequence[int]) -> str:
        self._check_tokens(token_ids)
        with self._vocabulary:
            self._check_open()
            data = b"".join(self._backend.token_bytes(token) for token in token_ids)
        return data.decode("utf-8", "replace")

    async def generate(self, request: Generate) -> AsyncGenerator[Piece | Finished, None]:
        self._check_open()
        self._check_queue()
        check_sampling(request.sampling, self._backend.model.vocab_size)
        self._check_prompt(request.prompt, len(request.prompt))
        self._check_tokens(request.continued)
        grammar = None
        if request.constraint is not None:
            grammar = await asyncio.to_thread(self._grammars.compile, request.constraint.grammar)
        stream = Stream()
        generation = Generation(request, grammar, self._backend, self._propose_drafts)
        job = self._worker.submit(generation, stream)
        try:
            while True:
                for item in await stream.get_all():
                    assert not isinstance(item, Scores)
                    yield item
                    if isinstance(item, Finished):
                        return
        finally:
            self._worker.abort(job)

    async def score(
        self, prompt: Sequence[int], continuations: Sequence[Sequence[int]]
    ) -> list[list[float]]:
        self._check_open()
        self._check_queue()
        longest = max((len(tokens) for tokens in continuations), default=0)
        self._check_prompt(prompt, len(prompt) + longest)
        for tokens in continuations:
            self._check_tokens(tokens)
        if longest == 0:
            return [[] for _ in continuations]
        stream = Stream()
        scoring = Scoring(
            prompt, continuations, self._backend, at_once=self._settings.max_sequences
        )
        job = self._worker.submit(scoring, stream)
        try:
            scores = await stream.get()
        finally:
            self._worker.abort(job)
        assert isinstance(scores, Scores)
        return scores.values

    async def close(self) -> None:
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._worker.close()
        self._grammars.close()
        with self._vocabulary:
            if not self._is_closed:
                self._is_closed = True
                self._backend.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise ShuttingDown("The engine is closed.")

    def _check_queue(self) -> None:
        if self._worker.queued >= self._settings.max_waiting:
            raise Overloaded(
                f"{self.model_id} has {self._worker.queued} requests waiting. Try again later."
            )

    def _check_prompt(self, prompt: Sequence[int], needed: int) -> None:
        size, context_length = self._backend.model.vocab_size, self.context_length
        check_prompt(prompt, needed, context_length=context_length, vocab_size=size)

    def _check_tokens(self, tokens: Sequence[int]) -> None:
        check_tokens(tokens, self._backend.model.vocab_size)
