"""Files of assistants and messages in version 1 of the API."""

from __future__ import annotations

from typing import Literal

from localassist.schemas.base import Body, WireModel


class AssistantFileCreate(Body):
    """POST /assistants/{id}/files."""

    file_id: str


class AssistantFile(WireModel):
    """``id`` is the file's own."""

    id: str
    object: Literal["assistant.file"] = "assistant.file"
    created_at: int
    assistant_id: str


class MessageFile(WireModel):
    """``id`` is the file's own."""

    id: str
    object: Literal["thread.message.file"] = "thread.message.file"
    created_at: int
    message_id: str
