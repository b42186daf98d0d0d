"""Objects as an import takes them: what the API shows, within what its requests may ask for.

An object beyond the contract's limits could be shown and never be sent back: whoever updates it
with what they were given would be refused. What runs have made has no such limits, and neither have
the files that messages have added to their thread.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import Self

from localassist.schemas import phrases
from localassist.schemas.assistants import (
    Assistant,
    AssistantFileIds,
    AssistantName,
    Description,
)
from localassist.schemas.attributes import Attributes
from localassist.schemas.base import WireModel, refuse
from localassist.schemas.files import File, base_name
from localassist.schemas.messages import MAX_TEXT, Message, TextContent
from localassist.schemas.run_steps import RunStep
from localassist.schemas.runs import Run
from localassist.schemas.threads import Thread
from localassist.schemas.tools import (
    MAX_ASSISTANT_TOOLS,
    Instructions,
    ModelName,
    Temperature,
    TokenBudget,
    Tool,
    TopP,
    refuse_duplicate_names,
)
from localassist.schemas.vector_stores import StoreFile, VectorStore

# A run has all tools of its assistant, and its own instructions below the assistant's.
_Tools = Annotated[
    list[Tool], AfterValidator(refuse_duplicate_names), Field(max_length=MAX_ASSISTANT_TOOLS)
]
_RunInstructions = Annotated[str, Field(max_length=2 * MAX_TEXT + 1)]


class _Assistant(Assistant):
    model: ModelName
    name: AssistantName | None = None
    description: Description | None = None
    instructions: Instructions | None = None
    tools: _Tools = []
    temperature: Temperature | None = 1.0
    top_p: TopP | None = 1.0
    file_ids: AssistantFileIds = []


class _Message(Message):
    file_ids: Annotated[list[str], Field(max_length=10)] = []

    @model_validator(mode="after")
    def _text_was_sent(self) -> Self:
        for number, part in enumerate(self.content if self.run_id is None else ()):
            if isinstance(part, TextContent) and len(part.text.value) > MAX_TEXT:
                length = len(part.text.value)
                error = phrases.string_too_long("{param}", MAX_TEXT, length)
                at = ("content", number, "text", "value")
                raise refuse(error.message, code=error.code, at=at)
        return self


class _Run(Run):
    model: ModelName
    instructions: _RunInstructions = ""
    tools: _Tools = []
    temperature: Temperature | None = 1.0
    top_p: TopP | None = 1.0
    max_prompt_tokens: TokenBudget | None = None
    max_completion_tokens: TokenBudget | None = None
    file_ids: AssistantFileIds = []


class _File(File):
    """Called as an upload of that name would be."""

    filename: Annotated[str, AfterValidator(base_name)]


class _StoreFile(StoreFile):
    attributes: Attributes = {}


MODELS: dict[str, type[WireModel]] = {
    "assistant": _Assistant,
    "thread": Thread,
    "thread.message": _Message,
    "thread.run": _Run,
    "thread.run.step": RunStep,
    "file": _File,
    "vector_store": VectorStore,
    "vector_store.file": _StoreFile,
}

SHORTENED: dict[tuple[str, str], int] = {
    ("assistant", "name"): 256,
    ("assistant", "description"): 512,
}
"""Fields that may be cut, and to how many characters: labels, which no program and no model goes
by."""
