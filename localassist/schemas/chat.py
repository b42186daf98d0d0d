"""Chat completions: the request with its local rules, the answer and its stream.

Fields that only matter to the hosted service are accepted and ignored; those whose silent omission
would change the answer are refused as unsupported.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import Self

from localassist.core import TokenLogprob, Usage
from localassist.schemas.base import Body, Items, Metadata, WireModel, refuse
from localassist.schemas.chat_messages import (
    UNSUPPORTED,
    ChatMessageInput,
    check_tool_messages,
    only,
)
from localassist.schemas.one_of import OneOf
from localassist.schemas.tools import (
    ChosenFunction,
    FunctionTool,
    JsonObjectFormat,
    JsonSchemaFormat,
    ModelName,
    ReasoningEffort,
    Temperature,
    TextFormat,
    TopP,
    refuse_duplicate_names,
)

MAX_TOOLS = 128
MAX_TOP_LOGPROBS = 20
LOWEST_LOGPROB = -9999.0
"""What the hosted API says of a token that cannot come; JSON has no minus infinity."""
FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]

# --- request ----------------------------------------------------------------------------------


class CustomTool(Body):
    """Legal at the hosted API; its free-text input has no local counterpart."""

    type: Literal["custom"]

    @model_validator(mode="before")
    @classmethod
    def _refuse(cls, value: Any) -> Any:
        raise refuse(
            "Unsupported value: '{param}' is of type 'custom'. Only functions are served.",
            code=UNSUPPORTED,
        )


class AllowedTools(Body):
    mode: Literal["auto", "required"]
    tools: Annotated[Items[ChosenFunction], Field(min_length=1)]


class ChosenAllowedTools(Body):
    type: Literal["allowed_tools"]
    allowed_tools: AllowedTools


class StreamOptions(Body):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


def _check_bias(bias: dict[str, float]) -> dict[str, float]:
    for token in bias:
        if not re.fullmatch(r"[0-9]{1,9}", token, re.ASCII):
            raise refuse("Invalid '{param}': keys must be token ids in decimal digits.")
    return bias


def _check_choice_count(n: int | None) -> int | None:
    if n not in (None, 1):
        raise refuse("Unsupported value: '{param}' must be 1.", code=UNSUPPORTED)
    return n


def _only_with(param: str, condition: str) -> PydanticCustomError:
    message = f"Invalid value for '{param}': '{param}' is only allowed when {condition}."
    return refuse(message, code=None, at=(param,))


ChatTools = Annotated[
    Items[Annotated[FunctionTool | CustomTool, OneOf()]],
    Field(max_length=MAX_TOOLS),
    AfterValidator(refuse_duplicate_names),
]
ChatToolChoice = Annotated[
    Literal["none", "auto", "required"] | ChosenFunction | ChosenAllowedTools | CustomTool, OneOf()
]
ChatResponseFormat = Annotated[TextFormat | JsonObjectFormat | JsonSchemaFormat, OneOf()]
StopText = Annotated[str, Field(min_length=1)]
Stop = Annotated[StopText | Annotated[Items[StopText], Field(max_length=4)], OneOf()]
Bias = Annotated[float, Field(ge=-100, le=100)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
TokenLimit = Annotated[int, Field(ge=1)]
_USE_TOOLS = "Use 'tools' and 'tool_choice' instead."


class ChatCompletionCreate(Body):
    """POST /chat/completions."""

    model: ModelName
    messages: Annotated[
        Items[ChatMessageInput], Field(min_length=1), AfterValidator(check_tool_messages)
    ]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    max_completion_tokens: TokenLimit | None = None
    max_tokens: TokenLimit | None = None
    stop: Stop | None = None
    n: Annotated[
        Annotated[int, Field(ge=1, le=128)] | None, AfterValidator(_check_choice_count)
    ] = None
    seed: int | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: Annotated[dict[str, Bias], AfterValidator(_check_bias)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    tools: ChatTools | None = None
    tool_choice: ChatToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ChatResponseFormat | None = None
    # Asking for what is not served.
    functions: Annotated[list[Any] | None, only(_USE_TOOLS, [])] = None
    function_call: Annotated[str | None, only(_USE_TOOLS, "none", "auto")] = None
    audio: Annotated[None, only("Audio is not served.")] = None
    modalities: Annotated[list[str] | None, only("Only text is served.", ["text"])] = None
    prediction: Annotated[None, only("Predicted outputs are not served.")] = None
    web_search_options: Annotated[None, only("There is no web search.")] = None
    # Accepted and ignored.
    reasoning_effort: ReasoningEffort | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    metadata: Metadata | None = None
    store: bool | None = None
    user: str | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    safety_identifier: str | None = None
    moderation: Any = None

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if self.top_logprobs and not self.logprobs:
            raise _only_with("top_logprobs", "'logprobs' is true")
        if self.tool_choice is not None and not self.tools:
            raise _only_with("tool_choice", "'tools' are specified")
        if self.parallel_tool_calls is not None and not self.tools:
            raise _only_with("parallel_tool_calls", "'tools' are specified")
        return self

    @property
    def function_tools(self) -> list[FunctionTool]:
        return [tool for tool in self.tools or [] if isinstance(tool, FunctionTool)]

    @property
    def token_limit(self) -> int | None:
        """The limit on the answer; the newer of the two names wins."""
        newer = self.max_completion_tokens
        return self.max_tokens if newer is None else newer

    @property
    def stop_texts(self) -> tuple[str, ...]:
        if isinstance(self.stop, str):
            return (self.stop,)
        return tuple(self.stop or ())

    @property
    def includes_usage(self) -> bool:
        """Whether a stream ends with a chunk that carries the token counts."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)


# --- answer -----------------------------------------------------------------------------------


class PromptTokensDetails(WireModel):
    cached_tokens: int


class CompletionUsage(WireModel):
    """Same counts as a run's, but chat spells the details ``prompt_tokens_details``."""

    omitted_when_none: ClassVar[frozenset[str]] = frozenset({"prompt_tokens_details"})

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails | None = None

    @classmethod
    def of(cls, usage: Usage) -> CompletionUsage:
        return cls(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            total_tokens=usage.total_tokens,
            prompt_tokens_details=PromptTokensDetails(cached_tokens=usage.cached_tokens),
        )


class ChatFunctionCall(WireModel):
    name: str
    arguments: str


class ChatToolCall(WireModel):
    id: str
    type: Literal["function"] = "function"
    function: ChatFunctionCall


class ChatAnswer(WireModel):
    omitted_when_none: ClassVar[frozenset[str]] = frozenset({"tool_calls"})

    role: Literal["assistant"] = "assistant"
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[ChatToolCall] | None = None


class TopLogprob(WireModel):
    """``token`` is the text of ``bytes``; what is not UTF-8 by itself is written ``\\xe2\\x80``."""

    token: str
    logprob: float
    bytes: list[int]

    @classmethod
    def of(cls, entry: TokenLogprob) -> Self:
        return cls(
            token=entry.data.decode("utf-8", "backslashreplace"),
            logprob=max(entry.logprob, LOWEST_LOGPROB),
            bytes=list(entry.data),
        )


class ContentLogprob(TopLogprob):
    top_logprobs: list[TopLogprob] = []

    @classmethod
    def of(cls, entry: TokenLogprob) -> Self:
        made = super().of(entry)
        return made.model_copy(update={"top_logprobs": [TopLogprob.of(e) for e in entry.top]})


class ChoiceLogprobs(WireModel):
    """One entry per token of the answer's text, in order; their bytes are the text."""

    content: list[ContentLogprob]
    refusal: None = None

    @classmethod
    def of(cls, entries: Iterable[TokenLogprob]) -> ChoiceLogprobs:
        return cls(content=[ContentLogprob.of(entry) for entry in entries])


class ChatChoice(WireModel):
    index: int = 0
    message: ChatAnswer
    finish_reason: FinishReason
    logprobs: ChoiceLogprobs | None = None


class ChatCompletion(WireModel):
    omitted_when_none: ClassVar[frozenset[str]] = frozenset({"system_fingerprint"})

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: CompletionUsage | None = None
    system_fingerprint: str | None = None


# --- stream -----------------------------------------------------------------------------------


class FunctionFragment(WireModel):
    omitted_when_none: ClassVar[frozenset[str]] = frozenset({"name", "arguments"})

    name: str | None = None
    arguments: str | None = None


class ToolCallFragment(WireModel):
    """``id``, ``type`` and the name come once, with empty arguments; then arguments alone."""

    omitted_when_none: ClassVar[frozenset[str]] = frozenset({"id", "type"})

    index: int
    id: str | None = None
    type: Literal["function"] | None = None
    function: FunctionFragment


class ChatDelta(WireModel):
    """What this chunk adds. ``{}`` in the chunk with the finish reason."""

    omitted_when_none: ClassVar[frozenset[str]] = frozenset(
        {"role", "content", "refusal", "tool_calls"}
    )

    role: Literal["assistant"] | None = None
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCallFragment] | None = None


class ChunkChoice(WireModel):
    index: int = 0
    delta: ChatDelta
    finish_reason: FinishReason | None = None
    logprobs: ChoiceLogprobs | None = None


class ChatCompletionChunk(WireModel):
    """``usage`` is emitted, even as null, only when it was given: a stream asked to include usage
    passes None in every chunk but the last."""

    omitted_when_none: ClassVar[frozenset[str]] = frozenset({"system_fingerprint"})
    omitted_when_unset: ClassVar[frozenset[str]] = frozenset({"usage"})

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: CompletionUsage | None = None
    system_fingerprint: str | None = None
