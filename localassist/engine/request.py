"""What crosses the boundary of the engine: a request in, pieces and an end out.

The engine knows tokens, not roles or runs. Its two faces are ``Generate`` with a stream of
``Piece`` and one ``Finished``, and ``score`` for log-likelihoods.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from localassist.core import Constraint, FinishReason, SamplingParams, TokenLogprob, Usage
from localassist.errors import ContextLengthExceeded, InvalidRequest


@dataclass(frozen=True, slots=True)
class Generate:
    """A prompt as token ids and how to continue it.

    ``continued`` holds tokens this answer has already produced (a run resumed after a crash): they
    are placed after the prompt, fed through grammar and penalties, counted against
    ``sampling.max_tokens``, and not delivered again.
    """

    prompt: Sequence[int]
    sampling: SamplingParams = field(default_factory=SamplingParams)
    constraint: Constraint | None = None
    continued: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that is safe to show and exactly the tokens behind it.

    Half characters and text that may still become a stop string are held back and arrive with a
    later piece, so the concatenated ``token_ids`` always spell the concatenated ``text``.

    ``logprobs``, where they were asked for, speak of the tokens as they were generated: when a stop
    string begins inside a token, ``token_ids`` spell its first part anew, and its entry is that of
    the whole token with the bytes of the first part.
    """

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...] = ()

    @classmethod
    def join(cls, pieces: Sequence[Piece]) -> Piece:
        """One piece of several, in order."""
        return cls(
            "".join(piece.text for piece in pieces),
            tuple(token for piece in pieces for token in piece.token_ids),
            tuple(entry for piece in pieces for entry in piece.logprobs),
        )


@dataclass(frozen=True, slots=True)
class Finished:
    """Always the last item of a generation that was not aborted by its reader."""

    reason: FinishReason
    usage: Usage


class Engine(Protocol):
    """A loaded chat model. All methods may be called from the event loop; none blocks it for long.

    Implementations: ``engine.engine.LlamaEngine`` (llama.cpp on one owner thread),
    ``engine.remote.ServerEngine`` (a model on another server) and
    ``engine.scripted.ScriptedEngine`` (public double: scripted replies, real counters).
    """

    @property
    def model_id(self) -> str: ...

    @property
    def context_length(self) -> int:
        """Tokens one sequence may hold, prompt and answer together."""
        ...

    @property
    def chat_template(self) -> str | None:
        """Jinja source from the model file, None when it has none."""
        ...

    @property
    def special_tokens(self) -> dict[str, str]:
        """``{"bos_token": ..., "eos_token": ...}`` as text, for the template."""
        ...

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        """Token ids of ``text`` without an added BOS. With ``parse_special`` control tokens
        written in the text become control tokens; without it they stay ordinary characters."""
        ...

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """Text of the tokens, control tokens rendered, invalid UTF-8 replaced."""
        ...

    def generate(self, request: Generate) -> AsyncGenerator[Piece | Finished, None]:
        """Stream an answer. Closing the iterator (or cancelling its reader) aborts the request
        within one engine step and frees its cells.

        Raises ContextLengthExceeded, GrammarRejected before the first piece; GenerationFailed.
        """
        ...

    async def score(
        self, prompt: Sequence[int], continuations: Sequence[Sequence[int]]
    ) -> list[list[float]]:
        """For each continuation the natural-log probability of each of its tokens after ``prompt``
        (and its own earlier tokens), temperature 1, no penalties."""
        ...

    async def close(self) -> None:
        """Abort everything and free the model."""
        ...


def check_prompt(
    prompt: Sequence[int], needed: int, *, context_length: int, vocab_size: int
) -> None:
    """Raise InvalidRequest for a prompt that is empty or has unknown tokens, ContextLengthExceeded
    when the ``needed`` tokens, answer included as far as it is known, do not fit."""
    if len(prompt) == 0:
        raise InvalidRequest("The prompt is empty.", param="messages")
    check_tokens(prompt, vocab_size)
    check_length(needed, context_length)


def check_length(needed: int, context_length: int) -> None:
    """Raise ContextLengthExceeded, in the hosted API's words, when so many tokens do not fit."""
    if needed > context_length:
        raise ContextLengthExceeded(
            f"This model's maximum context length is {context_length} tokens. However, "
            f"your messages resulted in {needed} tokens. "
            "Please reduce the length of the messages.",
            param="messages",
        )


def check_tokens(tokens: Sequence[int], vocab_size: int) -> None:
    """Raise InvalidRequest for a token outside the vocabulary: it would break the pass it shares
    with other requests."""
    if len(tokens) > 0 and (min(tokens) < 0 or max(tokens) >= vocab_size):
        raise InvalidRequest("The prompt has tokens that this model does not know.")
