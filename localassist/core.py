"""The domain's shared words: plain frozen dataclasses that every package may use.

Knows nothing of HTTP, storage, llama.cpp or templates. Packages that must not import each other
(engine, chat, retrieval, registry, storage) meet through these types.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "aborted"]

_EMPTY: Mapping[Any, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A function the model may call. ``parameters`` is a JSON Schema of type object.

    ``declared`` are the parameters as the caller wrote them, where ``parameters`` has become what a
    grammar takes: models are shown these, and finished arguments have to fit them.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(
        default_factory=lambda: {"type": "object", "properties": {}}
    )
    strict: bool = False
    declared: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call the model made. ``arguments`` is JSON text, exactly as it goes over the wire."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class GeneratedText:
    """What a model really said in one turn, markup of tool calls included.

    ``token_ids`` are the exact tokens it produced (end-of-generation token excluded). Re-tokenizing
    ``text`` may give other tokens, which would throw away the KV cache of the conversation.
    They are only meaningful for the model named ``model_id``.
    """

    text: str
    token_ids: tuple[int, ...] = ()
    model_id: str = ""


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One entry of a conversation as a chat template sees it.

    ``content`` is what people read; ``tool_calls`` are the calls of an assistant turn;
    ``tool_call_id`` and ``tool_name`` belong to role ``tool``. When ``generated`` is present it is
    what the prompt must contain, verbatim, in place of content and tool_calls.
    """

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    tool_name: str | None = None
    generated: GeneratedText | None = None


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How the next token is chosen. Field meanings and defaults follow the hosted API.

    ``temperature`` 0 is greedy. ``top_k`` 0, ``min_p`` 0 and ``repeat_penalty`` 1 are off.
    ``seed`` None draws a fresh one. ``max_tokens`` None generates until the context is full.
    ``stop`` strings end the answer and are not part of it. With ``top_logprobs`` every token comes
    with its log-probability and those of so many of the likeliest tokens in its place.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    logit_bias: Mapping[int, float] = field(default_factory=lambda: _EMPTY)
    top_logprobs: int | None = None


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token of an answer and how likely the model found it there.

    ``logprob`` is the natural log of the softmax of the model's own logits: before bias, penalties,
    temperature and grammar, which may have made another token the likeliest, or the only one. It
    is what ``Engine.score`` says of the same token in the same place, up to how a pass rounds.

    ``data`` are the bytes that the answer shows of it, perhaps a part of a character. ``top`` are
    the likeliest tokens of the whole vocabulary, likeliest first; the chosen one need not be there.
    """

    token_id: int
    data: bytes
    logprob: float
    top: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Constraint:
    """A grammar the output must obey, in llguidance's Lark dialect (``%llguidance {}`` header,
    JSON Schemas embedded with ``%json``).

    Written by ``tools.grammar`` and ``chat.formats``; only the engine compiles it. The engine fails
    closed: a grammar that does not compile is ``GrammarRejected`` before anything is generated.

    ``json_schema`` says the same where the whole answer is one JSON value, for engines on servers
    that take schemas but no grammars. ``text_grammar`` says it with control tokens spelled out, for
    those who see only text; None where the grammar names no tokens.
    """

    grammar: str
    json_schema: Mapping[str, Any] | None = None
    text_grammar: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one generation, or a sum of several. ``cached_tokens`` is the part of
    ``prompt_tokens`` whose KV cells were already there."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
        )
