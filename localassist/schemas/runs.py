"""Runs: the object and the bodies that make, update and feed one."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from localassist.core import Usage
from localassist.schemas.base import Body, Items, Metadata, WireModel
from localassist.schemas.messages import MessageCreate
from localassist.schemas.threads import ThreadCreate
from localassist.schemas.tools import (
    Instructions,
    ModelName,
    ReasoningEffort,
    ResponseFormat,
    RunTools,
    Temperature,
    TokenBudget,
    Tool,
    ToolChoice,
    ToolResources,
    TopP,
    TruncationStrategy,
)

RunStatus = Literal[
    "queued",
    "in_progress",
    "requires_action",
    "cancelling",
    "cancelled",
    "failed",
    "completed",
    "incomplete",
    "expired",
]
RunErrorCode = Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]
RunIncompleteReason = Literal["max_completion_tokens", "max_prompt_tokens"]

# --- input ------------------------------------------------------------------------------------


class RunCreate(Body):
    """POST /threads/{id}/runs. Sampling and tool fields left out come from the assistant."""

    assistant_id: str
    model: ModelName | None = None
    instructions: Instructions | None = None
    additional_instructions: Instructions | None = None
    additional_messages: Items[MessageCreate] | None = None
    tools: RunTools | None = None
    metadata: Metadata | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    max_prompt_tokens: TokenBudget | None = None
    max_completion_tokens: TokenBudget | None = None
    truncation_strategy: TruncationStrategy | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool = True
    response_format: ResponseFormat | None = None
    reasoning_effort: ReasoningEffort | None = None
    stream: bool | None = None


class ThreadAndRunCreate(Body):
    """POST /threads/runs."""

    assistant_id: str
    thread: ThreadCreate | None = None
    model: ModelName | None = None
    instructions: Instructions | None = None
    tools: RunTools | None = None
    tool_resources: ToolResources | None = None
    metadata: Metadata | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    max_prompt_tokens: TokenBudget | None = None
    max_completion_tokens: TokenBudget | None = None
    truncation_strategy: TruncationStrategy | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool = True
    response_format: ResponseFormat | None = None
    stream: bool | None = None

    def run_fields(self) -> RunCreate:
        """The part that describes the run, with the same fields set; ``thread`` and
        ``tool_resources`` stay behind."""
        shared = self.model_fields_set - {"thread", "tool_resources"}
        return RunCreate.model_construct(
            _fields_set=set(shared), **{name: getattr(self, name) for name in shared}
        )


class RunUpdate(Body):
    """POST /threads/{id}/runs/{id}."""

    metadata: Metadata | None = None


class ToolOutput(Body):
    tool_call_id: str
    output: str = ""


class SubmitToolOutputs(Body):
    """POST .../submit_tool_outputs. Whether the ids are the right ones depends on the run."""

    tool_outputs: Items[ToolOutput]
    stream: bool | None = None


# --- output -----------------------------------------------------------------------------------


class CalledFunction(WireModel):
    name: str
    arguments: str


class RequiredToolCall(WireModel):
    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class RequiredToolCalls(WireModel):
    tool_calls: list[RequiredToolCall]


class RequiredAction(WireModel):
    type: Literal["submit_tool_outputs"] = "submit_tool_outputs"
    submit_tool_outputs: RequiredToolCalls


class RunError(WireModel):
    """``last_error`` of a failed run."""

    code: RunErrorCode
    message: str


class RunIncompleteDetails(WireModel):
    reason: RunIncompleteReason


class PromptTokenDetails(WireModel):
    cached_tokens: int


class RunUsage(WireModel):
    """Token counts of a run or a step."""

    omitted_when_none: ClassVar[frozenset[str]] = frozenset({"prompt_token_details"})

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_token_details: PromptTokenDetails | None = None

    @classmethod
    def of(cls, usage: Usage) -> RunUsage:
        return cls(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            total_tokens=usage.total_tokens,
            prompt_token_details=PromptTokenDetails(cached_tokens=usage.cached_tokens),
        )


class Run(WireModel):
    """``context_truncation`` says which messages and which parts of tool outputs were left out of
    the prompt, and is absent when nothing was."""

    omitted_when_none: ClassVar[frozenset[str]] = frozenset({"context_truncation"})

    id: str
    object: Literal["thread.run"] = "thread.run"
    created_at: int
    thread_id: str
    assistant_id: str
    status: RunStatus
    required_action: RequiredAction | None = None
    last_error: RunError | None = None
    expires_at: int | None = None
    started_at: int | None = None
    cancelled_at: int | None = None
    failed_at: int | None = None
    completed_at: int | None = None
    incomplete_details: RunIncompleteDetails | None = None
    model: str
    instructions: str = ""
    tools: list[Tool] = []
    tool_resources: ToolResources = ToolResources()
    metadata: Metadata = {}
    usage: RunUsage | None = None
    temperature: float | None = 1.0
    top_p: float | None = 1.0
    max_prompt_tokens: int | None = None
    max_completion_tokens: int | None = None
    truncation_strategy: TruncationStrategy = TruncationStrategy()
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool = True
    response_format: ResponseFormat = "auto"
    reasoning_effort: ReasoningEffort | None = None
    file_ids: list[str] = []
    context_truncation: dict[str, Any] | None = None
