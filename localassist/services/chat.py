"""Chat completions: one turn of a model, without a thread and without storage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from localassist import clock, ids
from localassist.chat.formats import ToolChoice
from localassist.core import ChatMessage, SamplingParams, TokenLogprob, ToolCall, ToolSpec
from localassist.errors import PromptRejected
from localassist.schemas.chat import (
    ChatAnswer,
    ChatChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionCreate,
    ChatDelta,
    ChatFunctionCall,
    ChatToolCall,
    ChoiceLogprobs,
    ChosenAllowedTools,
    ChunkChoice,
    CompletionUsage,
    FinishReason,
    FunctionFragment,
    ToolCallFragment,
)
from localassist.schemas.chat_messages import (
    AssistantMessage,
    ChatMessageInput,
    FunctionMessage,
    SystemMessage,
    ToolMessage,
    UserMessage,
)
from localassist.services.admission import Admission
from localassist.services.models import ChatModel, Models
from localassist.services.tools import check_response_format
from localassist.services.turn import take_turn
from localassist.services.turn_items import (
    Arguments,
    CallBegun,
    Text,
    TurnEnded,
    TurnItem,
    TurnRequest,
)
from localassist.tools.grammar import Validate, check_tools


@dataclass(slots=True)
class _Answer:
    """A completion in the making."""

    model: str
    includes_usage: bool = False
    id: str = field(default_factory=lambda: ids.new_id("chat_completion"))
    created: int = field(default_factory=clock.now)

    def chunk(
        self,
        delta: ChatDelta,
        finish: FinishReason | None = None,
        logprobs: ChoiceLogprobs | None = None,
    ) -> ChatCompletionChunk:
        choice = ChunkChoice(delta=delta, finish_reason=finish, logprobs=logprobs)
        chunk = ChatCompletionChunk(
            id=self.id, created=self.created, model=self.model, choices=[choice]
        )
        # A stream that will end with the usage says null until then.
        return chunk.model_copy(update={"usage": None}) if self.includes_usage else chunk

    def usage_chunk(self, usage: CompletionUsage) -> ChatCompletionChunk:
        return ChatCompletionChunk(
            id=self.id, created=self.created, model=self.model, choices=[], usage=usage
        )


class Chat:
    """``/chat/completions``."""

    def __init__(self, models: Models, admission: Admission) -> None:
        self._models = models
        self._admission = admission

    async def complete(self, project: str, body: ChatCompletionCreate) -> ChatCompletion:
        """The whole answer. Raises ModelNotFound, PromptRejected, ContextLengthExceeded and
        GrammarRejected, and ShuttingDown when the service stops before or meanwhile."""
        answer = _Answer(body.model)
        texts: list[str] = []
        logprobs: list[TokenLogprob] = []
        async with aclosing(self._turn(body)) as turn:
            async for item in turn:
                if isinstance(item, Text):
                    texts.append(item.text)
                    logprobs += item.logprobs
                elif isinstance(item, TurnEnded):
                    end = item
        called = [
            ChatToolCall(id=c.id, function=ChatFunctionCall(name=c.name, arguments=c.arguments))
            for c in end.calls
        ]
        text = "".join(texts)
        message = ChatAnswer(
            content=text if text or not called else None, tool_calls=called or None
        )
        return ChatCompletion(
            id=answer.id,
            created=answer.created,
            model=body.model,
            choices=[
                ChatChoice(
                    message=message,
                    finish_reason=_finish(end),
                    logprobs=ChoiceLogprobs.of(logprobs)
                    if body.logprobs and message.content is not None
                    else None,
                )
            ],
            usage=CompletionUsage.of(end.usage),
        )

    async def stream(
        self, project: str, body: ChatCompletionCreate
    ) -> AsyncGenerator[ChatCompletionChunk | str, None]:
        """The answer in chunks; a text stands for the chunk that adds it and nothing else, for
        building that object would cost more than all the rest of a token's way. The first is a
        chunk. Nothing is yielded before the request is known to be sound."""
        answer = _Answer(body.model, body.includes_usage)
        is_begun = False
        async with aclosing(self._turn(body)) as turn:
            async for item in turn:
                if not is_begun:
                    yield answer.chunk(ChatDelta(role="assistant", content=""))
                    is_begun = True
                if isinstance(item, Text):
                    if item.text or item.logprobs:  # there may be nothing but tokens
                        yield _said(item, answer) if body.logprobs else item.text
                elif isinstance(item, TurnEnded):
                    yield answer.chunk(ChatDelta(), _finish(item))
                    if body.includes_usage:
                        yield answer.usage_chunk(CompletionUsage.of(item.usage))
                else:
                    yield answer.chunk(_delta(item))

    async def _turn(self, body: ChatCompletionCreate) -> AsyncGenerator[TurnItem, None]:
        with self._admission.held():
            async with aclosing(self._turn_of(body)) as turn:
                async for item in turn:
                    self._admission.step()
                    yield item

    async def _turn_of(self, body: ChatCompletionCreate) -> AsyncGenerator[TurnItem, None]:
        messages = conversation(body.messages)
        tools, choice = offered_tools(body)
        # A model may take long to load, and what is wrong with a request is said at once.
        await asyncio.to_thread(check_completion, body, self._models.validate)
        async with self._models.chat(body.model, calls_functions=bool(tools)) as model:
            request = TurnRequest(
                messages=messages,
                sampling=_sampling(body, model),
                tools=tools,
                choice=choice,
                parallel=body.parallel_tool_calls is not False,
                response_format=_dumped_format(body),
            )
            async with aclosing(take_turn(model, request, self._models.validate)) as turn:
                async for item in turn:
                    yield item


def check_completion(body: ChatCompletionCreate, validate: Validate) -> None:
    """That all schemas can be enforced, those of tools that this turn cannot call too. Raises
    GrammarRejected."""
    check_tools([tool.spec() for tool in body.function_tools], validate)
    check_response_format(_dumped_format(body), validate)


def _dumped_format(body: ChatCompletionCreate) -> Any:
    return None if body.response_format is None else body.response_format.dump()


def _sampling(body: ChatCompletionCreate, model: ChatModel) -> SamplingParams:
    given: dict[str, Any] = {
        "presence_penalty": body.presence_penalty,
        "frequency_penalty": body.frequency_penalty,
        "seed": body.seed,
        "max_tokens": body.token_limit,
        "top_logprobs": (body.top_logprobs or 0) if body.logprobs else None,
    }
    return replace(
        model.sampling(body.temperature, body.top_p),
        stop=body.stop_texts,
        logit_bias={int(token): bias for token, bias in (body.logit_bias or {}).items()},
        **{name: value for name, value in given.items() if value is not None},
    )


def offered_tools(body: ChatCompletionCreate) -> tuple[Sequence[ToolSpec], ToolChoice]:
    """The functions that this turn may call, and whether it must. Raises InvalidRequest for a
    named one that is not there."""
    tools = [tool.spec() for tool in body.function_tools]
    wanted = body.tool_choice
    if isinstance(wanted, ChosenAllowedTools):
        allowed = [chosen.function.name for chosen in wanted.allowed_tools.tools]
        for name in allowed:
            ToolChoice("named", name).among(tools)
        return [t for t in tools if t.name in allowed], ToolChoice(wanted.allowed_tools.mode)
    choice = ToolChoice.from_wire(
        wanted if wanted is None or isinstance(wanted, str) else wanted.dump()
    )
    choice.among(tools)
    return ((), choice) if choice.mode == "none" else (tools, choice)


def conversation(messages: Sequence[ChatMessageInput]) -> list[ChatMessage]:
    """The messages as templates see them. Raises PromptRejected for an image."""
    names: dict[str, str] = {}
    return [_message(message, names) for message in messages]


def _message(message: ChatMessageInput, names: dict[str, str]) -> ChatMessage:
    """``names`` collects the function names of calls, for the outputs that answer them."""
    if isinstance(message, SystemMessage):
        return ChatMessage("system", message.text)
    if isinstance(message, UserMessage):
        if message.has_images:
            raise PromptRejected(
                "This model reads only text; 'messages' contains an image.", param="messages"
            )
        return ChatMessage("user", message.text)
    if isinstance(message, AssistantMessage):
        calls = [
            ToolCall(call.id, call.function.name, call.function.arguments)
            for call in message.tool_calls or []
        ]
        names.update((call.id, call.name) for call in calls)
        return ChatMessage("assistant", message.text, tool_calls=tuple(calls))
    if isinstance(message, ToolMessage):
        call_id = message.tool_call_id
        return ChatMessage("tool", message.text, tool_call_id=call_id, tool_name=names.get(call_id))
    assert isinstance(message, FunctionMessage)
    return ChatMessage("tool", message.text, tool_name=message.name)


def _said(item: Text, answer: _Answer) -> ChatCompletionChunk:
    """The chunk of a text whose tokens are told too."""
    return answer.chunk(ChatDelta(content=item.text), logprobs=ChoiceLogprobs.of(item.logprobs))


def _delta(item: CallBegun | Arguments) -> ChatDelta:
    if isinstance(item, CallBegun):
        function = FunctionFragment(name=item.name, arguments="")
        fragment = ToolCallFragment(
            index=item.index, id=item.call_id, type="function", function=function
        )
    else:
        fragment = ToolCallFragment(
            index=item.index, function=FunctionFragment(arguments=item.text)
        )
    return ChatDelta(tool_calls=[fragment])


def _finish(end: TurnEnded) -> FinishReason:
    if end.reason == "length":
        return "length"
    return "tool_calls" if end.calls else "stop"
