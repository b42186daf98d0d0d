"""Tool definitions, tool resources and the run settings that assistants, threads and runs share.

The same classes serve input and output: what was accepted is echoed. v1 spellings are accepted and
stored in their v2 form; ``v1`` turns them back when a v1 client asks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from typing_extensions import Self

from localassist.core import ToolSpec
from localassist.schemas import phrases
from localassist.schemas.base import Body, Items, Metadata, WireModel, refuse
from localassist.schemas.one_of import OneOf

INVALID_PARAMETERS = "invalid_function_parameters"
"""The code of errors about a function's schema."""

MAX_ASSISTANT_TOOLS = 128
MAX_RUN_TOOLS = 20
MIN_CHUNK_TOKENS, MAX_CHUNK_TOKENS = 100, 4096

Name = Annotated[str, Field(min_length=1, max_length=64, pattern="^[a-zA-Z0-9_-]+$")]
ModelName = Annotated[str, Field(min_length=1)]
Instructions = Annotated[str, Field(max_length=256_000)]
Temperature = Annotated[float, Field(ge=0, le=2)]
TopP = Annotated[float, Field(ge=0, le=1)]
TokenBudget = Annotated[int, Field(ge=256)]
ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class CodeInterpreterTool(Body):
    type: Literal["code_interpreter"]


class RankingOptions(Body):
    omitted_when_none: ClassVar[frozenset[str]] = frozenset({"ranker"})

    # The hosted API also says default-2024-08-21; clients only understand underscores.
    ranker: Annotated[
        Literal["auto", "default_2024_08_21"] | None,
        BeforeValidator(lambda v: v.replace("-", "_") if v == "default-2024-08-21" else v),
    ] = None
    score_threshold: Annotated[float, Field(ge=0, le=1)]


class FileSearchOptions(Body):
    omitted_when_none: ClassVar[frozenset[str]] = frozenset({"max_num_results", "ranking_options"})

    max_num_results: Annotated[int, Field(ge=1, le=50)] | None = None
    ranking_options: RankingOptions | None = None


class FileSearchTool(Body):
    omitted_when_none: ClassVar[frozenset[str]] = frozenset({"file_search"})

    type: Literal["file_search"]
    file_search: FileSearchOptions | None = None


class FunctionDefinition(Body):
    """``parameters`` is a JSON Schema; without it the function takes no arguments."""

    omitted_when_none: ClassVar[frozenset[str]] = frozenset({"description", "parameters", "strict"})

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    @model_validator(mode="after")
    def _takes_an_object(self) -> Self:
        kind = "object" if self.parameters is None else self.parameters.get("type", "object")
        if kind != "object":
            raise refuse(
                f"Invalid schema for function '{self.name}': schema must be a JSON Schema of "
                f"'type: \"object\"', got 'type: {phrases.shorten(json.dumps(kind))}'.",
                code=INVALID_PARAMETERS,
                at=("parameters",),
            )
        return self


class FunctionTool(Body):
    type: Literal["function"]
    function: FunctionDefinition

    def spec(self) -> ToolSpec:
        """The function as the rest of the program knows it."""
        return function_spec(self.function.dump())


def function_spec(function: Mapping[str, Any]) -> ToolSpec:
    """A function in wire form as the rest of the program knows it."""
    description, strict = function.get("description") or "", bool(function.get("strict"))
    spec = ToolSpec(function["name"], description, strict=strict)
    parameters = function.get("parameters")
    if parameters is None:
        return spec
    return replace(spec, parameters={"type": "object", **parameters})


def _from_v1(value: Any) -> Any:
    if isinstance(value, dict) and value.get("type") == "retrieval":
        return {**value, "type": "file_search"}
    return value


Tool = Annotated[
    CodeInterpreterTool | FunctionTool | FileSearchTool, OneOf(), BeforeValidator(_from_v1)
]


def refuse_duplicate_names(tools: list[Any]) -> list[Any]:
    """A model's call names a function, so two of one name cannot be told apart."""
    seen: set[str] = set()
    for index, tool in enumerate(tools):
        if not isinstance(tool, FunctionTool):
            continue
        name = tool.function.name
        if name in seen:
            raise refuse(
                f"Invalid '{{param}}': duplicate function name '{name}'. "
                "Each function in 'tools' must have its own name.",
                at=(index, "function", "name"),
            )
        seen.add(name)
    return tools


_Tools = Annotated[Items[Tool], AfterValidator(refuse_duplicate_names)]
AssistantTools = Annotated[_Tools, Field(max_length=MAX_ASSISTANT_TOOLS)]
RunTools = Annotated[_Tools, Field(max_length=MAX_RUN_TOOLS)]


class FunctionName(Body):
    name: Name


class ChosenFunction(Body):
    type: Literal["function"]
    function: FunctionName


class ChosenCodeInterpreter(Body):
    type: Literal["code_interpreter"]


class ChosenFileSearch(Body):
    type: Literal["file_search"]


ToolChoice = Annotated[
    Literal["none", "auto", "required"] | ChosenFunction | ChosenCodeInterpreter | ChosenFileSearch,
    OneOf(),
    BeforeValidator(_from_v1),
]


class TextFormat(Body):
    type: Literal["text"]


class JsonObjectFormat(Body):
    type: Literal["json_object"]


class JsonSchemaDefinition(Body):
    omitted_when_none: ClassVar[frozenset[str]] = frozenset({"description", "strict"})

    name: Name
    description: str | None = None
    # Named apart from pydantic's own ``schema``.
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    strict: bool | None = None


class JsonSchemaFormat(Body):
    type: Literal["json_schema"]
    json_schema: JsonSchemaDefinition


ResponseFormat = Annotated[
    Literal["auto"] | TextFormat | JsonObjectFormat | JsonSchemaFormat,
    OneOf(),
    # v1 called it "none".
    BeforeValidator(lambda value: "auto" if value == "none" else value),
]


class TruncationStrategy(Body):
    type: Literal["auto", "last_messages"] = "auto"
    last_messages: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _count_belongs_to_type(self) -> Self:
        if self.type == "last_messages" and self.last_messages is None:
            raise refuse(
                "Missing required parameter: '{param}'.",
                code="missing_required_parameter",
                at=("last_messages",),
            )
        return self


# --- tool resources ---------------------------------------------------------------------------


class CodeInterpreterResources(Body):
    file_ids: Annotated[Items[str], Field(max_length=20)] = []


class FileSearchResources(Body):
    vector_store_ids: Annotated[Items[str], Field(max_length=1)] = []


class ToolResources(Body):
    """As given on updates and on create-and-run: each key present replaces the stored one."""

    omitted_when_none: ClassVar[frozenset[str]] = frozenset({"code_interpreter", "file_search"})

    code_interpreter: CodeInterpreterResources | None = None
    file_search: FileSearchResources | None = None


class CodeInterpreterFiles(WireModel):
    file_ids: list[str] = []


class AttachedResources(WireModel):
    """What an assistant or a thread has, of which only keys that were given are emitted. Messages
    may have attached more files than a body can list."""

    omitted_when_none: ClassVar[frozenset[str]] = frozenset({"code_interpreter", "file_search"})

    code_interpreter: CodeInterpreterFiles | None = None
    file_search: FileSearchResources | None = None


def _chunk_bound(value: int, low: int) -> int:
    if low <= value <= MAX_CHUNK_TOKENS:
        return value
    above = value > MAX_CHUNK_TOKENS
    bound = MAX_CHUNK_TOKENS if above else low
    error = phrases.out_of_range("{param}", bound, value, above=above)
    raise refuse(error.message)


class StaticChunking(Body):
    max_chunk_size_tokens: Annotated[
        int, AfterValidator(lambda value: _chunk_bound(value, MIN_CHUNK_TOKENS))
    ]
    chunk_overlap_tokens: Annotated[int, AfterValidator(lambda value: _chunk_bound(value, 0))]

    @model_validator(mode="after")
    def _overlap_at_most_half(self) -> Self:
        if self.chunk_overlap_tokens * 2 > self.max_chunk_size_tokens:
            raise refuse(
                "Invalid '{param}': the overlap must not exceed half of 'max_chunk_size_tokens'.",
                at=("chunk_overlap_tokens",),
            )
        return self


class AutoChunkingStrategy(Body):
    type: Literal["auto"]


class StaticChunkingStrategy(Body):
    type: Literal["static"]
    static: StaticChunking


ChunkingStrategy = Annotated[AutoChunkingStrategy | StaticChunkingStrategy, OneOf()]


class NewVectorStore(Body):
    """A store to be made and attached along with its assistant or thread."""

    file_ids: Annotated[Items[str], Field(max_length=10_000)] = []
    chunking_strategy: ChunkingStrategy | None = None
    metadata: Metadata | None = None


class FileSearchResourcesCreate(Body):
    vector_store_ids: Annotated[Items[str], Field(max_length=1)] | None = None
    vector_stores: Annotated[Items[NewVectorStore], Field(max_length=1)] | None = None

    @model_validator(mode="after")
    def _ids_or_stores(self) -> Self:
        if self.vector_store_ids and self.vector_stores:
            raise refuse(
                "Invalid '{param}': 'vector_store_ids' and 'vector_stores' are mutually exclusive.",
                at=("vector_store_ids",),
            )
        return self


class ToolResourcesCreate(Body):
    """``ToolResources`` with the shortcut that makes a vector store."""

    omitted_when_none: ClassVar[frozenset[str]] = frozenset({"code_interpreter", "file_search"})

    code_interpreter: CodeInterpreterResources | None = None
    file_search: FileSearchResourcesCreate | None = None

    @property
    def new_stores(self) -> list[NewVectorStore]:
        """The vector stores to be made: at most one."""
        return (self.file_search.vector_stores or []) if self.file_search is not None else []

    def stored(self) -> ToolResources:
        """Without ``vector_stores``: whoever makes those stores adds their ids."""
        search = self.file_search
        return ToolResources(
            code_interpreter=self.code_interpreter,
            file_search=None
            if search is None
            else FileSearchResources(vector_store_ids=search.vector_store_ids or []),
        )
