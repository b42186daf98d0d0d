"""What goes into a turn of a model, and what comes out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from localassist.chat.formats import ToolChoice
from localassist.core import (
    ChatMessage,
    Constraint,
    FinishReason,
    GeneratedText,
    SamplingParams,
    TokenLogprob,
    ToolCall,
    ToolSpec,
    Usage,
)


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """What a turn is made of. ``continued`` is the part of the answer that an interrupted worker
    had already delivered; it is not delivered again. ``prompt`` is that of ``messages``
    without tools, where the caller has it already. ``grounding`` is what an answer of no given form
    is held to. ``answers`` False: a model that is led through its calls and makes none ends its
    turn without a word."""

    messages: Sequence[ChatMessage]
    sampling: SamplingParams
    tools: Sequence[ToolSpec] = ()
    choice: ToolChoice = field(default_factory=ToolChoice)
    parallel: bool = True
    response_format: Any = None
    continued: Sequence[int] = ()
    prompt: Sequence[int] | None = None
    grounding: Constraint | None = None
    answers: bool = True


@dataclass(frozen=True, slots=True)
class Text:
    """More text, and the tokens behind it as far as they are settled. ``logprobs``, if asked for,
    are of all tokens that end in it, those of calls left out."""

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class CallBegun:
    """A call with its name; its arguments follow."""

    index: int
    call_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Arguments:
    """A fragment of a call's arguments."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """Always last. ``evidence`` says why a guided model called or answered. Without tokens,
    ``generated`` is the text alone, because those that were generated spell more than was said."""

    reason: FinishReason
    usage: Usage
    generated: GeneratedText
    calls: tuple[ToolCall, ...] = ()
    evidence: dict[str, Any] = field(default_factory=dict)


TurnItem = Text | CallBegun | Arguments | TurnEnded
