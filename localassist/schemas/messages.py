"""Messages: the object, its content parts and annotations, and the bodies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from localassist.schemas.base import Body, Items, Metadata, WireModel
from localassist.schemas.one_of import OneOf

MAX_TEXT = 256_000

MessageRole = Literal["user", "assistant"]
MessageStatus = Literal["in_progress", "incomplete", "completed"]
IncompleteReason = Literal[
    "content_filter", "max_tokens", "run_cancelled", "run_expired", "run_failed"
]
Detail = Literal["auto", "low", "high"]

# --- input ------------------------------------------------------------------------------------


class TextInput(Body):
    type: Literal["text"]
    text: Annotated[str, Field(max_length=MAX_TEXT)]


class ImageFile(Body):
    omitted_when_none: ClassVar[frozenset[str]] = frozenset({"detail"})

    file_id: str
    detail: Detail | None = None


class ImageFilePart(Body):
    """Same shape in and out."""

    type: Literal["image_file"]
    image_file: ImageFile


class ImageUrl(Body):
    omitted_when_none: ClassVar[frozenset[str]] = frozenset({"detail"})

    url: str
    detail: Detail | None = None


class ImageUrlPart(Body):
    """Same shape in and out."""

    type: Literal["image_url"]
    image_url: ImageUrl


PartInput = Annotated[TextInput | ImageFilePart | ImageUrlPart, OneOf()]
ContentInput = Annotated[
    Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
    | Annotated[Items[PartInput], Field(min_length=1)],
    OneOf(),
]


class CodeInterpreterTarget(Body):
    type: Literal["code_interpreter"]


class FileSearchTarget(Body):
    type: Literal["file_search"]


class Attachment(Body):
    """A file for the tools named. Same shape in and out."""

    file_id: str
    tools: Items[Annotated[CodeInterpreterTarget | FileSearchTarget, OneOf()]] = []


class MessageCreate(Body):
    """POST /threads/{id}/messages, and entries of ``messages`` and ``additional_messages``.
    ``file_ids`` is v1's way to attach files."""

    role: MessageRole
    content: ContentInput
    attachments: Items[Attachment] | None = None
    metadata: Metadata | None = None
    file_ids: Annotated[Items[str], Field(max_length=10)] = []


class MessageUpdate(Body):
    """POST /threads/{id}/messages/{id}."""

    metadata: Metadata | None = None


# --- output -----------------------------------------------------------------------------------


class CitedFile(WireModel):
    """``quote`` is the file's own text that is cited. Version 1 always has it. ``place`` is ours:
    where in the file that text stands, such as ``page 3``."""

    omitted_when_none: ClassVar[frozenset[str]] = frozenset({"quote", "place"})

    file_id: str
    quote: str | None = None
    place: str | None = None


class FileReference(WireModel):
    file_id: str


class FileCitation(WireModel):
    """``text`` is exactly ``value[start_index:end_index]`` of the part, in code points."""

    type: Literal["file_citation"] = "file_citation"
    text: str
    start_index: int
    end_index: int
    file_citation: CitedFile


class FilePath(WireModel):
    type: Literal["file_path"] = "file_path"
    text: str
    start_index: int
    end_index: int
    file_path: FileReference


Annotation = Annotated[FileCitation | FilePath, OneOf()]


class Text(WireModel):
    value: str
    annotations: list[Annotation] = []


class TextContent(WireModel):
    type: Literal["text"] = "text"
    text: Text


class RefusalContent(WireModel):
    type: Literal["refusal"] = "refusal"
    refusal: str


MessageContent = Annotated[TextContent | ImageFilePart | ImageUrlPart | RefusalContent, OneOf()]


class MessageIncompleteDetails(WireModel):
    reason: IncompleteReason


class Message(WireModel):
    id: str
    object: Literal["thread.message"] = "thread.message"
    created_at: int
    thread_id: str
    status: MessageStatus = "completed"
    incomplete_details: MessageIncompleteDetails | None = None
    completed_at: int | None = None
    incomplete_at: int | None = None
    role: MessageRole
    content: list[MessageContent] = []
    assistant_id: str | None = None
    run_id: str | None = None
    attachments: list[Attachment] = []
    metadata: Metadata = {}
    file_ids: list[str] = []


def text_content(value: str) -> TextContent:
    """One text part without annotations."""
    return TextContent(text=Text(value=value))


def normalise_content(content: str | Sequence[PartInput]) -> list[MessageContent]:
    """Content as sent → as stored: a plain string is one text part."""
    if isinstance(content, str):
        return [text_content(content)]
    return [text_content(part.text) if isinstance(part, TextInput) else part for part in content]
