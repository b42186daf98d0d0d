"""A turn that the model writes itself, in plain words or with calls under one grammar."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

from localassist import ids
from localassist.chat.stream import ArgumentsDelta, CallStarted, TextDelta
from localassist.core import Constraint, GeneratedText, ToolCall, Usage
from localassist.engine.logprobs import LogprobQueue
from localassist.engine.request import Finished, Generate, Piece
from localassist.errors import GenerationFailed
from localassist.services.attempts import Misfit
from localassist.services.models import ChatModel
from localassist.services.stop_texts import StopTexts
from localassist.services.turn_items import (
    Arguments,
    CallBegun,
    Text,
    TurnEnded,
    TurnItem,
    TurnRequest,
)
from localassist.tools.grammar import (
    Validate,
    answer_problem,
    answer_rule,
    arguments_problem,
    response_constraint,
)

_ASTRAY = "The model went on after its call, so what it wrote is neither a call nor an answer."


async def write_plain(
    model: ChatModel, request: TurnRequest, validate: Validate
) -> AsyncGenerator[TurnItem, None]:
    """An answer without calls, token for token."""
    prompt = request.prompt
    if prompt is None:
        prompt = (await asyncio.to_thread(model.prompts.build, request.messages)).token_ids
    constraint = None
    if isinstance(request.response_format, Mapping):
        constraint = await asyncio.to_thread(response_constraint, request.response_format, validate)
    constraint = constraint or request.grounding
    said: list[str] = []
    tokens: list[int] = list(request.continued)
    async with aclosing(_generate(model, prompt, request, constraint)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Piece):
                said.append(piece.text)
                tokens += piece.token_ids
                yield Text(piece.text, piece.token_ids, piece.logprobs)
            else:
                text = "".join(said)
                if piece.reason == "stop":
                    _check_answer(request, text, piece.usage)
                generated = GeneratedText(text, tuple(tokens), model.manifest.id)
                yield TurnEnded(piece.reason, piece.usage, generated)


async def write_with_calls(
    model: ChatModel, request: TurnRequest, validate: Validate
) -> AsyncGenerator[TurnItem, None]:
    """An answer in which the model may write calls itself, under one grammar."""
    prompt = request.prompt
    if prompt is None or request.tools:
        built = await asyncio.to_thread(model.prompts.build, request.messages, request.tools)
        prompt = built.token_ids
    answer = await asyncio.to_thread(answer_rule, request.response_format, validate)
    if answer is None and request.grounding is not None and not request.tools:
        answer = _nested(request.grounding)
    constraint = model.tool_format.constraint(
        request.tools, request.choice, parallel=request.parallel, answer=answer
    )
    reader = _CallReader(model, request)
    if request.continued:
        reader.skip(await asyncio.to_thread(model.engine.detokenize, request.continued))
    endless = replace(request, sampling=replace(request.sampling, stop=()))
    async with aclosing(_generate(model, prompt, endless, constraint)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Piece):
                for item in reader.read(piece):
                    yield item
                if reader.is_astray:
                    raise Misfit(_ASTRAY, Usage(len(prompt), reader.count))
                if reader.is_stopped:
                    # The cached tokens, which the engine tells at its own end, are not known.
                    yield reader.stop(Usage(len(prompt), reader.count))
                    return
            else:
                for item in reader.finish(piece):
                    yield item


class _CallReader:
    """Pieces of a turn into items."""

    def __init__(self, model: ChatModel, request: TurnRequest) -> None:
        self._model = model
        self._request = request
        self._parser = model.tool_format.parser(request.choice.among(request.tools))
        self._raw: list[str] = []
        self._tokens: list[int] = list(request.continued)
        self._unsettled: list[int] = []
        self._said: list[str] = []
        self._shown_bytes = 0  # of the answer: what was said, and a mark before it
        self._stops = StopTexts(request.sampling.stop)
        self._logprobs = LogprobQueue()
        self._calls: list[tuple[str, str, list[str]]] = []
        self.is_astray = False
        """A text has followed a call; nothing of it is given out."""

    @property
    def is_stopped(self) -> bool:
        """A stop string has appeared in the text; the rest of the answer is not wanted."""
        return self._stops.is_stopped

    @property
    def count(self) -> int:
        """Tokens read."""
        return len(self._tokens)

    def skip(self, text: str) -> None:
        """Read what was delivered before."""
        self._parser.feed(text)

    def read(self, piece: Piece) -> list[TurnItem]:
        self._raw.append(piece.text)
        self._tokens += piece.token_ids
        self._unsettled += piece.token_ids
        self._logprobs.add(*piece.logprobs)
        return self._items(self._parser.feed(piece.text))

    def finish(self, end: Finished) -> list[TurnItem]:
        held = self._parser.pending
        left = self._parser.finish(is_cut=end.reason == "length")
        is_whole = bool(left) or not held  # or markup was dropped that its tokens spell
        items = self._items(left)
        if self.is_astray:
            raise Misfit(_ASTRAY, end.usage)
        can_settle = is_whole and not self.is_stopped and not self._calls
        items += self._end_text(is_newest=can_settle)
        if self.is_stopped:
            return [*items, self.stop(end.usage)]
        calls = tuple(ToolCall(i, name, "".join(parts)) for i, name, parts in self._calls)
        if end.reason == "stop":
            self._check(calls, "".join(self._said), end.usage)
        generated = self._said_only()
        if calls or is_whole:
            text = "".join(self._raw)
            generated = GeneratedText(text, tuple(self._tokens), self._model.manifest.id)
        return [*items, TurnEnded(end.reason, end.usage, generated, calls)]

    def stop(self, usage: Usage) -> TurnEnded:
        """The end of a turn in whose text a stop string has appeared."""
        return TurnEnded("stop", usage, self._said_only())

    def _said_only(self) -> GeneratedText:
        """The text without tokens: those that were generated spell more."""
        return GeneratedText("".join(self._said), (), self._model.manifest.id)

    def _items(self, events: Sequence[object]) -> list[TurnItem]:
        items: list[TurnItem] = []
        if self._shown_bytes == 0 and self._parser.text_mark:
            self._shown_bytes = len(self._parser.text_mark.encode())
            self._logprobs.take(self._shown_bytes)  # nobody is told of the mark
        for event in events:
            if isinstance(event, TextDelta) and self._calls:
                self.is_astray = self.is_astray or bool(event.text.strip())
            elif isinstance(event, TextDelta):
                items += self._say(self._stops.feed(event.text), is_newest=event is events[-1])
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

    def _say(self, text: str, *, is_newest: bool, is_last: bool = False) -> list[TurnItem]:
        self._said.append(text)
        tokens: tuple[int, ...] = ()
        # Tokens are settled once nothing of them is held back.
        if is_newest and self._parser.pending == 0 and not self._stops.holds_text:
            tokens = tuple(self._unsettled)
            self._unsettled.clear()
        self._shown_bytes += len(text.encode())
        logprobs = self._logprobs.take(self._shown_bytes, is_last=is_last)
        return [Text(text, tokens, logprobs)] if text or tokens or logprobs else []

    def _end_text(self, *, is_newest: bool = False) -> list[TurnItem]:
        """The text is over: what was held back of it."""
        return self._say(self._stops.flush(), is_newest=is_newest, is_last=True)

    def _check(self, calls: Sequence[ToolCall], text: str, usage: Usage) -> None:
        """The grammar guarantees valid arguments, except for keywords it had to leave out."""
        if not calls and self._request.choice.demands_call and self._request.tools:
            raise GenerationFailed("The model ended its turn without the call it had to make.")
        if not calls:
            _check_answer(self._request, text, usage)
        specs = {tool.name: tool for tool in self._request.tools}
        for call in calls:
            problem = arguments_problem(specs[call.name], call.arguments)
            if problem is not None:
                raise Misfit(problem, usage)


def _check_answer(request: TurnRequest, text: str, usage: Usage) -> None:
    """That a finished message has its format; a part of one is not looked at."""
    if request.continued or request.sampling.stop:
        return
    problem = answer_problem(request.response_format, text)
    if problem is not None:
        raise Misfit(problem, usage)


def _nested(constraint: Constraint) -> str:
    """The grammar as an expression of another."""
    rules = constraint.grammar.split("\n", 1)[1]  # without the header
    return f"%lark {{\n{rules}\n}}"


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
