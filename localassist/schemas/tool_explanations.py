"""``POST /tools/explain``, ours: which function would be called, with what, and why."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import Self

from localassist.schemas.base import Body, Items, WireModel, refuse
from localassist.schemas.chat import (
    ChatCompletionCreate,
    ChatToolChoice,
    ChatTools,
    CompletionUsage,
)
from localassist.schemas.chat_messages import ChatMessageInput, UserMessage, check_tool_messages
from localassist.schemas.tools import ModelName


def _check_question(text: str) -> str:
    if not text.strip():
        raise refuse("Invalid '{param}': the question is empty.")
    return text


Question = Annotated[str, AfterValidator(_check_question)]


class ToolsExplain(Body):
    """``question`` is short for ``messages`` with one message of the user's."""

    model: ModelName
    question: Question | None = None
    messages: (
        Annotated[Items[ChatMessageInput], Field(min_length=1), AfterValidator(check_tool_messages)]
        | None
    ) = None
    tools: Annotated[ChatTools, Field(min_length=1)]
    tool_choice: ChatToolChoice | None = None
    parallel_tool_calls: bool | None = None

    @model_validator(mode="after")
    def _question_or_messages(self) -> Self:
        if (self.question is None) == (self.messages is None):
            raise refuse(
                "Give either 'question' or 'messages', not both and not neither.",
                at=("question",),
            )
        return self

    def completion(self) -> ChatCompletionCreate:
        """The chat completion that would make these calls."""
        asked = self.messages
        if asked is None:
            asked = [UserMessage(role="user", content=self.question or "")]
        return ChatCompletionCreate(
            model=self.model,
            messages=asked,
            tools=self.tools,
            tool_choice=self.tool_choice,
            parallel_tool_calls=self.parallel_tool_calls,
        )


class ExplainedScore(WireModel):
    """The evidence for one function; ``decision`` above 0 speaks for a call."""

    name: str
    similarity: float
    likelihood: float
    gain: float
    shared_words: float
    decision: float


class ExplainedCall(WireModel):
    """``arguments`` is JSON text. ``evidence`` says of each argument where its value came from;
    it is empty for a model that writes its calls itself."""

    name: str
    arguments: str
    evidence: dict[str, str]


class ToolsExplanation(WireModel):
    """``question`` is what was decided upon, null where the model reads the whole conversation.
    ``scores``, ``thresholds`` and ``grounding`` belong to guided models, ``output`` is what any
    other wrote, with a note when a call in it was cut off and so is not among ``calls``."""

    object: Literal["tools.explanation"] = "tools.explanation"
    model: str
    mode: Literal["native", "guided", "none"]
    question: str | None = None
    verdict: Literal["call", "answer"]
    scores: list[ExplainedScore] = []
    thresholds: dict[str, Any] | None = None
    grounding: float | None = None
    calls: list[ExplainedCall] = []
    output: str | None = None
    usage: CompletionUsage
