"""Messages of a chat completion request, one class per role."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from typing_extensions import Self

from localassist.schemas import phrases
from localassist.schemas.base import Body, Items, refuse
from localassist.schemas.messages import ImageUrlPart
from localassist.schemas.one_of import OneOf
from localassist.schemas.tools import Name

# Code of a legal value that has no local counterpart.
UNSUPPORTED = "unsupported_parameter"


def only(reason: str, *trivial: Any) -> BeforeValidator:
    """Refuses every value but null and the trivial ones, which ask for nothing special."""

    def check(value: Any) -> Any:
        if value is None or any(type(value) is type(same) and value == same for same in trivial):
            return value
        raise refuse(f"Unsupported parameter: '{{param}}'. {reason}", code=UNSUPPORTED)

    return BeforeValidator(check)


class TextPart(Body):
    type: Literal["text"]
    text: str


class RefusalPart(Body):
    type: Literal["refusal"]
    refusal: str


class UnservedPart(Body):
    """Legal at the hosted API; no local model takes it."""

    type: Literal["input_audio", "file"]

    @model_validator(mode="before")
    @classmethod
    def _refuse(cls, value: Any) -> Any:
        raise refuse(
            "Unsupported value: '{param}' must be of type 'text' or 'image_url'.",
            code=UNSUPPORTED,
        )


TextParts = Annotated[Items[TextPart], Field(min_length=1)]
UserParts = Annotated[
    Items[Annotated[TextPart | ImageUrlPart | UnservedPart, OneOf()]], Field(min_length=1)
]
AssistantParts = Annotated[Items[Annotated[TextPart | RefusalPart, OneOf()]], Field(min_length=1)]
TextContent = Annotated[str | TextParts, OneOf()]
UserContent = Annotated[str | UserParts, OneOf()]
AssistantContent = Annotated[str | AssistantParts, OneOf()]


class SystemMessage(Body):
    role: Literal["system", "developer"]
    content: TextContent
    name: str | None = None

    @property
    def text(self) -> str:
        return plain_text(self.content)


class UserMessage(Body):
    role: Literal["user"]
    content: UserContent
    name: str | None = None

    @property
    def text(self) -> str:
        return plain_text(self.content)

    @property
    def has_images(self) -> bool:
        return not isinstance(self.content, str) and any(
            isinstance(part, ImageUrlPart) for part in self.content
        )


class CalledFunction(Body):
    """``parsed_arguments`` is what the SDK's helpers add to an answer, and send back with it."""

    name: Name
    arguments: str
    parsed_arguments: Any = None


class ReturnedToolCall(Body):
    """A call of an earlier assistant turn, handed back by the client. ``index`` is left over from
    a stream."""

    id: str
    index: int | None = None
    type: Literal["function"]
    function: CalledFunction


class AssistantMessage(Body):
    """``parsed`` and ``annotations`` are parts of answers, and are sent back with them."""

    role: Literal["assistant"]
    content: AssistantContent | None = None
    tool_calls: Items[ReturnedToolCall] | None = None
    refusal: str | None = None
    name: str | None = None
    audio: Annotated[None, only("Audio is not served.")] = None
    parsed: Any = None
    annotations: list[Any] | None = None
    function_call: Annotated[None, only("Use 'tool_calls' instead.")] = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.content is None and not self.tool_calls and self.refusal is None:
            error = phrases.wrong_type("{param}", "one of a string or an array of objects", None)
            raise refuse(error.message, code=error.code, at=("content",))
        return self

    @property
    def text(self) -> str:
        return self.refusal or "" if self.content is None else plain_text(self.content)


class ToolMessage(Body):
    role: Literal["tool"]
    content: TextContent
    tool_call_id: str
    name: str | None = None

    @property
    def text(self) -> str:
        return plain_text(self.content)


class FunctionMessage(Body):
    """Legacy form of a tool's answer."""

    role: Literal["function"]
    name: str
    content: str | None

    @property
    def text(self) -> str:
        return self.content or ""


ChatMessageInput = Annotated[
    SystemMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage, OneOf("role")
]


def check_tool_messages(messages: list[ChatMessageInput]) -> list[ChatMessageInput]:
    """Refuses outputs that answer no call and calls without an output, in the hosted words.

    The outputs of an assistant message's calls follow it at once, in any order.
    """
    calls: Counter[str] | None = None  # of the assistant message the outputs belong to
    open_calls: Counter[str] = Counter()
    asked_at = 0
    for index, message in enumerate(messages):
        if isinstance(message, ToolMessage):
            _check_answers(message, index, calls, open_calls)
            open_calls[message.tool_call_id] -= 1
            continue
        _check_answered(open_calls, asked_at)
        calls = None
        if isinstance(message, AssistantMessage) and message.tool_calls:
            calls = Counter(call.id for call in message.tool_calls)
            open_calls, asked_at = Counter(calls), index
    _check_answered(open_calls, asked_at)
    return messages


def _check_answers(
    message: ToolMessage, index: int, calls: Counter[str] | None, open_calls: Counter[str]
) -> None:
    call_id = message.tool_call_id
    if calls is None:
        raise refuse(
            "Invalid parameter: messages with role 'tool' must be a response to a preceeding "
            "message with 'tool_calls'.",
            code=None,
            at=(index, "role"),
        )
    if open_calls[call_id] > 0:
        return
    problem = (
        "has been answered already"
        if call_id in calls
        else "not found in 'tool_calls' of previous message"
    )
    raise refuse(
        f"Invalid parameter: 'tool_call_id' of '{phrases.shorten(call_id)}' {problem}.",
        code=None,
        at=(index, "tool_call_id"),
    )


def _check_answered(open_calls: Counter[str], asked_at: int) -> None:
    missing = ", ".join(phrases.shorten(call_id) for call_id in +open_calls)
    if missing:
        raise refuse(
            "An assistant message with 'tool_calls' must be followed by tool messages responding "
            "to each 'tool_call_id'. The following tool_call_ids did not have response messages: "
            f"{missing}",
            code=None,
            at=(asked_at, "tool_calls"),
        )


def plain_text(content: TextContent | UserContent | AssistantContent) -> str:
    """Text of a message's content: its text and refusal parts joined by newlines."""
    if isinstance(content, str):
        return content
    return "\n".join(
        part.text if isinstance(part, TextPart) else part.refusal
        for part in content
        if isinstance(part, (TextPart, RefusalPart))
    )
