"""Assistants: the object and its create and update bodies."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from localassist.schemas.base import Body, Items, Metadata, WireModel
from localassist.schemas.one_of import WRONG_KIND
from localassist.schemas.tools import (
    AssistantTools,
    AttachedResources,
    Instructions,
    ModelName,
    ReasoningEffort,
    ResponseFormat,
    Temperature,
    Tool,
    ToolResources,
    ToolResourcesCreate,
    TopP,
)

AssistantName = Annotated[str, Field(max_length=256)]
Description = Annotated[str, Field(max_length=512)]
MAX_ASSISTANT_FILES = 20
AssistantFileIds = Annotated[Items[str], Field(max_length=MAX_ASSISTANT_FILES)]


def _refuse_null(value: Any) -> Any:
    """An assistant always has a model: the field may be absent from an update, not null."""
    if value is None:
        raise PydanticCustomError(WRONG_KIND, "expected", {"expected": "a string"})
    return value


class AssistantCreate(Body):
    """POST /assistants. ``file_ids`` is v1's way to attach files."""

    model: ModelName
    name: AssistantName | None = None
    description: Description | None = None
    instructions: Instructions | None = None
    tools: AssistantTools = []
    tool_resources: ToolResourcesCreate | None = None
    metadata: Metadata | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: ReasoningEffort | None = None
    file_ids: AssistantFileIds = []


class AssistantUpdate(Body):
    """POST /assistants/{id}. A field that is absent stays as it is; null clears a nullable one."""

    model: Annotated[ModelName | None, BeforeValidator(_refuse_null)] = None
    name: AssistantName | None = None
    description: Description | None = None
    instructions: Instructions | None = None
    tools: AssistantTools = []
    tool_resources: ToolResources | None = None
    metadata: Metadata | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: ReasoningEffort | None = None
    file_ids: AssistantFileIds = []


class Assistant(WireModel):
    id: str
    object: Literal["assistant"] = "assistant"
    created_at: int
    name: str | None = None
    description: str | None = None
    model: str
    instructions: str | None = None
    tools: list[Tool] = []
    tool_resources: AttachedResources = AttachedResources()
    metadata: Metadata = {}
    temperature: float | None = 1.0
    top_p: float | None = 1.0
    response_format: ResponseFormat = "auto"
    reasoning_effort: ReasoningEffort | None = None
    file_ids: list[str] = []
