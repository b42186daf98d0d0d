"""Threads: the object and its create and update bodies."""

from __future__ import annotations

from typing import Literal

from localassist.schemas.base import Body, Items, Metadata, WireModel
from localassist.schemas.messages import MessageCreate
from localassist.schemas.tools import AttachedResources, ToolResources, ToolResourcesCreate


class ThreadCreate(Body):
    """POST /threads, and ``thread`` of create-and-run."""

    messages: Items[MessageCreate] = []
    tool_resources: ToolResourcesCreate | None = None
    metadata: Metadata | None = None


class ThreadUpdate(Body):
    """POST /threads/{id}. A field that is absent stays as it is."""

    metadata: Metadata | None = None
    tool_resources: ToolResources | None = None


class Thread(WireModel):
    id: str
    object: Literal["thread"] = "thread"
    created_at: int
    metadata: Metadata = {}
    tool_resources: AttachedResources = AttachedResources()
