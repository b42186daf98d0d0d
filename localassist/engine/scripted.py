"""A public double of the engine: replies are scripted, counters are real.

Tokens are characters, so ids are the same in every process. Use it to test whatever talks to an
``Engine`` without a model; the real engine is tested with ``scripted_backend``.
"""

from __future__ import annotations

import asyncio
import re
import string
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace

from localassist.core import FinishReason, TokenLogprob, Usage
from localassist.engine.detokenizer import Detokenizer
from localassist.engine.grammar import validate_grammar
from localassist.engine.radix_tree import common_prefix
from localassist.engine.request import Finished, Generate, Piece, check_length
from localassist.engine.sampler import check_sampling
from localassist.errors import (
    GenerationFailed,
    LocalAssistError,
    ShuttingDown,
)

Reply = str | LocalAssistError | Callable[[Generate], str]
"""A text, an error to raise, or a function of the request that makes the text."""

_FIRST_SPECIAL = 0x110000  # behind the last Unicode character
_REMEMBERED_PROMPTS = 32
_CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(slots=True)
class ScriptedCounters:
    """What has happened so far."""

    started: int = 0
    finished: int = 0
    aborted: int = 0
    failed: int = 0
    running: int = 0
    most_running: int = 0


class ScriptedEngine:
    """Answers with the next queued reply, or with ``default_reply``.

    It honours ``max_tokens``, ``stop``, ``continued`` (the reply is the whole answer, its beginning
    is not delivered again) and aborts, counts cached prompt tokens over earlier requests, and
    records every request in ``requests``. ``delay_seconds`` passes before each piece of
    ``piece_tokens`` characters. ``scorer(prompt, continuation)`` is the log-probability of a whole
    continuation, spread evenly over its tokens; for log-probabilities it is asked about the
    token and about each printable ASCII character.
    """

    def __init__(
        self,
        *replies: Reply,
        model_id: str = "scripted",
        default_reply: Reply | None = None,
        context_length: int = 32_768,
        chat_template: str | None = _CHATML,
        special: Sequence[str] = ("<|im_start|>", "<|im_end|>"),
        delay_seconds: float = 0.0,
        piece_tokens: int = 4,
        scorer: Callable[[str, str], float] = lambda prompt, continuation: -len(continuation),
    ) -> None:
        self.requests: list[Generate] = []
        self.counters = ScriptedCounters()
        self._replies: deque[Reply] = deque(replies)
        self._model_id = model_id
        self._default_reply = default_reply
        self._context_length = context_length
        self._chat_template = chat_template
        self._special = {text: _FIRST_SPECIAL + i for i, text in enumerate(special)}
        self._special_texts = list(special)
        self._special_pattern = re.compile("|".join(map(re.escape, special)) or "(?!)")
        self._delay_seconds = delay_seconds
        self._piece_tokens = piece_tokens
        self._scorer = scorer
        self._remembered: deque[list[int]] = deque(maxlen=_REMEMBERED_PROMPTS)
        self._is_closed = False

    @property
    def model_id(self) -> str:
        return self._model_id

    @property
    def context_length(self) -> int:
        return self._context_length

    @property
    def chat_template(self) -> str | None:
        return self._chat_template

    @property
    def special_tokens(self) -> dict[str, str]:
        return {"bos_token": "", "eos_token": self._special_texts[-1] if self._special else ""}

    def enqueue(self, *replies: Reply) -> None:
        """Queue replies for the next requests, first come, first served."""
        self._replies.extend(replies)

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        if not parse_special:
            return [ord(character) for character in text]
        tokens: list[int] = []
        end = 0
        for found in self._special_pattern.finditer(text):
            tokens += map(ord, text[end : found.start()])
            tokens.append(self._special[found.group()])
            end = found.end()
        return [*tokens, *map(ord, text[end:])]

    def detokenize(self, token_ids: Sequence[int]) -> str:
        return b"".join(map(self._token_bytes, token_ids)).decode("utf-8", "replace")

    async def generate(self, request: Generate) -> AsyncGenerator[Piece | Finished, None]:
        self._check_open()
        check_sampling(request.sampling, _FIRST_SPECIAL + len(self._special))
        check_length(len(request.prompt), self._context_length)
        if request.constraint is not None:
            validate_grammar(request.constraint.grammar)
        self.requests.append(request)
        reply = self._next_reply(request)
        counters = self.counters
        counters.started += 1
        counters.running += 1
        counters.most_running = max(counters.most_running, counters.running)
        is_over = False
        prompt = [*request.prompt, *request.continued]
        try:
            async for item in self._play(request, reply):
                if isinstance(item, Finished):
                    is_over = True
                    counters.finished += 1
                elif request.sampling.top_logprobs is not None:
                    item = self._with_logprobs(item, prompt, request.sampling.top_logprobs)
                yield item
        except LocalAssistError:
            is_over = True
            counters.failed += 1
            raise
        finally:
            counters.running -= 1
            if not is_over:
                counters.aborted += 1

    async def score(
        self, prompt: Sequence[int], continuations: Sequence[Sequence[int]]
    ) -> list[list[float]]:
        self._check_open()
        check_length(len(prompt) + max(map(len, continuations), default=0), self._context_length)
        prompt_text = self.detokenize(prompt)
        totals = [self._scorer(prompt_text, self.detokenize(tokens)) for tokens in continuations]
        return [
            [total / len(tokens)] * len(tokens) if tokens else []
            for total, tokens in zip(totals, continuations, strict=True)
        ]

    async def close(self) -> None:
        self._is_closed = True

    async def _play(self, request: Generate, reply: str) -> AsyncGenerator[Piece | Finished, None]:
        answer = self.tokenize(reply, parse_special=True)
        room = self._context_length - len(request.prompt)
        if request.sampling.max_tokens is not None:
            room = min(room, request.sampling.max_tokens)
        cached_tokens = self._count_cached(request.prompt)
        detokenizer = Detokenizer(
            self._token_bytes,
            request.sampling.stop,
            respell=lambda text: self.tokenize(text, parse_special=False),
        )
        produced = len(request.continued)
        reason: FinishReason = "length" if len(answer) > room else "stop"
        pieces: list[Piece] = []
        for token in answer[produced:room]:
            if (produced - len(request.continued)) % self._piece_tokens == 0:
                if pieces:
                    yield Piece.join(pieces)
                    pieces = []
                await self._pause()
            produced += 1
            piece = detokenizer.push(token)
            if piece is not None:
                pieces.append(piece)
            if detokenizer.is_stopped:
                reason = "stop"
                break
        if pieces:
            yield Piece.join(pieces)
        rest = detokenizer.flush()
        if rest is not None:
            yield rest
        self._remembered.append([*request.prompt, *answer[:produced]])
        yield Finished(reason, Usage(len(request.prompt), produced, cached_tokens))

    def _with_logprobs(self, piece: Piece, prompt: list[int], top: int) -> Piece:
        """The piece with what the scorer says of its tokens, which are added to ``prompt``."""
        entries = []
        for token in piece.token_ids:
            before = self.detokenize(prompt)
            likely = {t: self._logprob(before, t) for t in (token, *map(ord, string.printable))}
            best = sorted(likely.values(), key=lambda entry: -entry.logprob)[:top]
            entries.append(replace(likely[token], top=tuple(best)))
            prompt.append(token)
        return replace(piece, logprobs=tuple(entries))

    def _logprob(self, before: str, token: int) -> TokenLogprob:
        text = self.detokenize([token])
        return TokenLogprob(token, self._token_bytes(token), self._scorer(before, text))

    async def _pause(self) -> None:
        """Wait as configured, in any case let others run; then notice a closed engine."""
        await asyncio.sleep(self._delay_seconds)
        self._check_open()

    def _next_reply(self, request: Generate) -> str:
        reply = self._replies.popleft() if self._replies else self._default_reply
        if reply is None:
            raise GenerationFailed("No reply is scripted for this request.")
        if isinstance(reply, LocalAssistError):
            raise reply
        return reply if isinstance(reply, str) else reply(request)

    def _count_cached(self, prompt: Sequence[int]) -> int:
        tokens = list(prompt)
        longest = max((common_prefix(tokens, known) for known in self._remembered), default=0)
        return min(longest, max(0, len(tokens) - 1))

    def _token_bytes(self, token: int) -> bytes:
        if token < _FIRST_SPECIAL:
            return chr(token).encode("utf-8", "surrogatepass")
        return self._special_texts[token - _FIRST_SPECIAL].encode()

    def _check_open(self) -> None:
        if self._is_closed:
            raise ShuttingDown("The engine is closed.")
