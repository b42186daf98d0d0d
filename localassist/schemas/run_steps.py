"""Run steps: the object and what tools leave in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from localassist.schemas import phrases
from localassist.schemas.base import Metadata, WireModel, check_text
from localassist.schemas.one_of import OneOf
from localassist.schemas.runs import RunUsage

RunStepType = Literal["message_creation", "tool_calls"]
RunStepStatus = Literal["in_progress", "cancelled", "failed", "completed", "expired"]
INCLUDE_RESULT_CONTENT = "step_details.tool_calls[*].file_search.results[*].content"


class CreatedMessage(WireModel):
    message_id: str


class MessageCreationDetails(WireModel):
    type: Literal["message_creation"] = "message_creation"
    message_creation: CreatedMessage


class FunctionOutcome(WireModel):
    """``output`` is null until the caller has submitted it."""

    name: str
    arguments: str
    output: str | None = None


class FunctionToolCall(WireModel):
    id: str
    type: Literal["function"] = "function"
    function: FunctionOutcome


class LogsOutput(WireModel):
    type: Literal["logs"] = "logs"
    logs: str


class OutputImage(WireModel):
    file_id: str


class ImageOutput(WireModel):
    type: Literal["image"] = "image"
    image: OutputImage


class CodeExecution(WireModel):
    input: str
    outputs: list[Annotated[LogsOutput | ImageOutput, OneOf()]] = []


class CodeInterpreterToolCall(WireModel):
    id: str
    type: Literal["code_interpreter"] = "code_interpreter"
    code_interpreter: CodeExecution


class ResultContent(WireModel):
    type: Literal["text"] = "text"
    text: str


class FileSearchResult(WireModel):
    """``content`` is emitted only to callers who asked for it with ``include``. ``place`` is ours:
    where in the file the text stands, such as ``page 3``."""

    omitted_when_none: ClassVar[frozenset[str]] = frozenset({"content", "place"})

    file_id: str
    file_name: str
    score: float
    content: list[ResultContent] | None = None
    place: str | None = None


class StepRankingOptions(WireModel):
    # Any other name makes 1.x Python clients misread the whole step.
    ranker: Literal["default_2024_08_21"] = "default_2024_08_21"
    score_threshold: float = 0.0


class FileSearchOutcome(WireModel):
    omitted_when_none: ClassVar[frozenset[str]] = frozenset({"ranking_options", "results"})

    ranking_options: StepRankingOptions | None = None
    results: list[FileSearchResult] | None = None


class FileSearchToolCall(WireModel):
    id: str
    type: Literal["file_search"] = "file_search"
    file_search: FileSearchOutcome = FileSearchOutcome()


StepToolCall = Annotated[FunctionToolCall | CodeInterpreterToolCall | FileSearchToolCall, OneOf()]


class ToolCallsDetails(WireModel):
    """Parallel calls of one turn share a step."""

    type: Literal["tool_calls"] = "tool_calls"
    tool_calls: list[StepToolCall] = []


StepDetails = Annotated[MessageCreationDetails | ToolCallsDetails, OneOf()]


class RunStepError(WireModel):
    code: Literal["server_error", "rate_limit_exceeded"]
    message: str


class RunStep(WireModel):
    id: str
    object: Literal["thread.run.step"] = "thread.run.step"
    created_at: int
    run_id: str
    assistant_id: str
    thread_id: str
    type: RunStepType
    status: RunStepStatus = "in_progress"
    step_details: StepDetails
    last_error: RunStepError | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    cancelled_at: int | None = None
    expired_at: int | None = None
    expires_at: int | None = None
    metadata: Metadata | None = {}
    usage: RunUsage | None = None


def without_result_content(payload: dict[str, Any]) -> dict[str, Any]:
    """A dumped step, or a page of them, without the texts that file searches have found; anything
    else is returned as it is."""
    if payload.get("object") == "list":
        return {**payload, "data": [without_result_content(item) for item in payload["data"]]}
    if payload.get("object") != "thread.run.step" or payload["type"] != "tool_calls":
        return payload
    calls = [_without_content(call) for call in payload["step_details"]["tool_calls"]]
    return {**payload, "step_details": {"type": "tool_calls", "tool_calls": calls}}


def _without_content(call: dict[str, Any]) -> dict[str, Any]:
    found = call.get("file_search", {}).get("results")
    if not found:
        return call
    results = [{k: v for k, v in result.items() if k != "content"} for result in found]
    return {**call, "file_search": {**call["file_search"], "results": results}}


def parse_include(values: Sequence[str]) -> bool:
    """Values of ``include[]``: whether file search results shall carry their content."""
    for index, value in enumerate(values):
        if value != INCLUDE_RESULT_CONTENT:
            param = f"include[{index}]"
            raise phrases.not_supported(param, check_text(value, param), (INCLUDE_RESULT_CONTENT,))
    return bool(values)
