"""One turn of a model: a conversation in, text and tool calls out, as they come.

Runs and chat completions both speak to models only through this. A model that writes calls itself
is held to one grammar; a small one is led: first it is decided whether and what to call, and only
an answer is written freely. One of mode ``none`` answers, unless a call is demanded.
Knows nothing of threads, storage or the wire.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from localassist import ids
from localassist.chat.formats import ToolChoice
from localassist.chat.stream import ArgumentsDelta, CallStarted, TextDelta
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
from localassist.engine.logprobs import LogprobQueue
from localassist.engine.request import Finished, Generate, Piece
from localassist.errors import GenerationFailed
from localassist.services.models import ChatModel
from localassist.services.stop_texts import StopTexts
from localassist.tools.grammar import (
    Validate,
    answer_rule,
    arguments_problem,
    check_tools,
    response_constraint,
)
from localassist.tools.guided import ToolPlan


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """What a turn is made of. ``continued`` is the part of the answer that an interrupted worker
    had already delivered; it is not delivered again. ``prompt`` is that of ``messages``
    without tools, where the caller has it already."""

    messages: Sequence[ChatMessage]
    sampling: SamplingParams
    tools: Sequence[ToolSpec] = ()
    choice: ToolChoice = field(default_factory=ToolChoice)
    parallel: bool = True
    response_format: Any = None
    continued: Sequence[int] = ()
    prompt: Sequence[int] | None = None


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
    """Always last. ``evidence`` says why a guided model called or answered."""

    reason: FinishReason
    usage: Usage
    generated: GeneratedText
    calls: tuple[ToolCall, ...] = ()
    evidence: dict[str, Any] = field(default_factory=dict)


TurnItem = Text | CallBegun | Arguments | TurnEnded


async def take_turn(
    model: ChatModel, request: TurnRequest, validate: Validate
) -> AsyncGenerator[TurnItem, None]:
    """Let ``model`` answer. Closing the iterator stops the generation.

    Raises what building the prompt and generating raise: PromptRejected, ContextLengthExceeded,
    GrammarRejected, GenerationFailed.
    """
    # Grammars take a while to check and long conversations to tokenize: not on the event loop.
    shown = request.tools  # as the caller wrote them, and as prompts were counted
    if request.tools:
        tools = await asyncio.to_thread(check_tools, request.tools, validate)
        request = replace(request, tools=tools)
    if model.guided is not None and request.tools and not request.continued:
        plan = await model.guided.plan(
            request.messages, request.tools, request.choice, request.parallel
        )
        if plan.calls:
            for item in _planned(model, plan):
                yield item
            return
        spent, evidence = plan.usage, _evidence(plan)
        async with aclosing(_plain(model, request, validate, spent, evidence)) as items:
            async for item in items:
                yield item
        return
    if not request.tools or not model.writes_calls(request.choice):
        async with aclosing(_plain(model, request, validate)) as items:
            async for item in items:
                yield item
        return
    async with aclosing(_native(model, request, validate, shown)) as items:
        async for item in items:
            yield item


def _planned(model: ChatModel, plan: ToolPlan) -> list[TurnItem]:
    made = tuple(ToolCall(ids.new_id("call"), call.name, call.arguments) for call in plan.calls)
    items: list[TurnItem] = []
    for index, call in enumerate(made):
        items.append(CallBegun(index, call.id, call.name))
        items.append(Arguments(index, call.arguments))
    said = GeneratedText(model.tool_format.render_calls(made), (), model.manifest.id)
    return [*items, TurnEnded("stop", plan.usage, said, made, _evidence(plan))]


def _evidence(plan: ToolPlan) -> dict[str, Any]:
    """Why the plan is what it is; empty where there was nothing to decide."""
    evidence: dict[str, Any] = {}
    if plan.scores:
        scores = {score.name: round(score.decision, 3) for score in plan.scores}
        evidence["tool_scores"] = scores
    if plan.calls:
        evidence["argument_evidence"] = [dict(call.evidence) for call in plan.calls]
    return evidence


async def _plain(
    model: ChatModel,
    request: TurnRequest,
    validate: Validate,
    spent: Usage | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> AsyncGenerator[TurnItem, None]:
    """An answer without calls, token for token. ``spent`` and ``evidence`` are those of the
    decision to answer."""
    prompt = request.prompt
    if prompt is None:
        prompt = (await asyncio.to_thread(model.prompts.build, request.messages)).token_ids
    constraint = None
    if isinstance(request.response_format, Mapping):
        constraint = await asyncio.to_thread(response_constraint, request.response_format, validate)
    said: list[str] = []
    tokens: list[int] = list(request.continued)
    async with aclosing(_generate(model, prompt, request, constraint)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Piece):
                said.append(piece.text)
                tokens += piece.token_ids
                yield Text(piece.text, piece.token_ids, piece.logprobs)
            else:
                generated = GeneratedText("".join(said), tuple(tokens), model.manifest.id)
                usage = (spent or Usage()) + piece.usage
                yield TurnEnded(piece.reason, usage, generated, evidence=dict(evidence or {}))


async def _native(
    model: ChatModel, request: TurnRequest, validate: Validate, shown: Sequence[ToolSpec]
) -> AsyncGenerator[TurnItem, None]:
    """An answer in which the model may write calls itself, under one grammar."""
    prompt = await asyncio.to_thread(model.prompts.build, request.messages, shown)
    answer = await asyncio.to_thread(answer_rule, request.response_format, validate)
    constraint = model.tool_format.constraint(
        request.tools, request.choice, parallel=request.parallel, answer=answer
    )
    reader = _CallReader(model, request)
    endless = replace(request, sampling=replace(request.sampling, stop=()))
    async with aclosing(_generate(model, prompt.token_ids, endless, constraint)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Piece):
                for item in reader.read(piece):
                    yield item
                if reader.is_stopped:
                    # The cached tokens, which the engine tells at its own end, are not known.
                    yield reader.stop(Usage(len(prompt.token_ids), reader.count))
                    return
            else:
                for item in reader.finish(piece):
                    yield item


class _CallReader:
    """Pieces of a native turn into items."""

    def __init__(self, model: ChatModel, request: TurnRequest) -> None:
        self._model = model
        self._request = request
        self._parser = model.tool_format.parser()
        self._raw: list[str] = []
        self._tokens: list[int] = list(request.continued)
        self._unsettled: list[int] = []
        self._held = 0  # characters read but not said
        self._said: list[str] = []
        self._said_bytes = 0
        self._stops = StopTexts(request.sampling.stop)
        self._logprobs = LogprobQueue()
        self._calls: list[tuple[str, str, list[str]]] = []

    @property
    def is_stopped(self) -> bool:
        """A stop string has appeared in the text; the rest of the answer is not wanted."""
        return self._stops.is_stopped

    @property
    def count(self) -> int:
        """Tokens read."""
        return len(self._tokens)

    def read(self, piece: Piece) -> list[TurnItem]:
        self._raw.append(piece.text)
        self._tokens += piece.token_ids
        self._unsettled += piece.token_ids
        self._held += len(piece.text)
        self._logprobs.add(*piece.logprobs)
        return self._items(self._parser.feed(piece.text))

    def finish(self, end: Finished) -> list[TurnItem]:
        left = self._parser.finish()
        # What a limit leaves of a call that had to come, before its name, is markup and not text.
        is_cut_call = end.reason == "length" and self._request.choice.demands_call
        items = [*([] if is_cut_call else self._items(left)), *self._end_text()]
        if self.is_stopped:
            return [*items, self.stop(end.usage)]
        calls = tuple(ToolCall(i, name, "".join(parts)) for i, name, parts in self._calls)
        if end.reason == "stop":
            self._check(calls)
        generated = GeneratedText("".join(self._raw), tuple(self._tokens), self._model.manifest.id)
        return [*items, TurnEnded(end.reason, end.usage, generated, calls)]

    def _items(self, events: Sequence[object]) -> list[TurnItem]:
        items: list[TurnItem] = []
        for event in events:
            if isinstance(event, TextDelta):
                items += self._say(self._stops.feed(event.text))
                if self.is_stopped:
                    return [*items, *self._end_text()]
            elif isinstance(event, CallStarted):
                items += self._end_text()
                call_id = ids.new_id("call")
                self._calls.append((call_id, event.name, []))
                items.append(CallBegun(event.index, call_id, event.name))
            elif isinstance(event, ArgumentsDelta):
                self._calls[event.index][2].append(event.text)
                items.append(Arguments(event.index, event.text))
        return items

    def stop(self, usage: Usage) -> TurnEnded:
        """The end of a turn in whose text a stop string has appeared."""
        said = GeneratedText("".join(self._said), (), self._model.manifest.id)
        return TurnEnded("stop", usage, said)

    def _say(self, text: str, *, is_last: bool = False) -> list[TurnItem]:
        self._held -= len(text)
        self._said.append(text)
        tokens: tuple[int, ...] = ()
        # Tokens are settled once nothing of them is held back.
        if self._held == 0:
            tokens = tuple(self._unsettled)
            self._unsettled.clear()
        self._said_bytes += len(text.encode())
        logprobs = self._logprobs.take(self._said_bytes, is_last=is_last)
        return [Text(text, tokens, logprobs)] if text or logprobs else []

    def _end_text(self) -> list[TurnItem]:
        """The text is over: what was held back of it."""
        return self._say(self._stops.flush(), is_last=True)

    def _check(self, calls: Sequence[ToolCall]) -> None:
        """The grammar guarantees valid arguments, except for keywords it had to leave out."""
        specs = {tool.name: tool for tool in self._request.tools}
        for call in calls:
            problem = arguments_problem(specs[call.name], call.arguments)
            if problem is not None:
                raise GenerationFailed(problem)


def _generate(
    model: ChatModel, prompt: Sequence[int], request: TurnRequest, constraint: Constraint | None
) -> AsyncGenerator[Piece | Finished, None]:
    return model.engine.generate(
        Generate(
            prompt=prompt,
            sampling=request.sampling,
            constraint=constraint,
            continued=request.continued,
        )
    )
