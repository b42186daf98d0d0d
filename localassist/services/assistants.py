"""Assistants: create, look, change, delete."""

from __future__ import annotations

import asyncio
from typing import Any

from localassist.sandbox.limits import Limits
from localassist.schemas.assistants import Assistant, AssistantCreate, AssistantUpdate
from localassist.schemas.base import Deleted, ListQuery, Page
from localassist.services.attachments import Attachments
from localassist.services.models import Models
from localassist.services.owned_files import share_files
from localassist.services.sandbox_limits import check_limits
from localassist.services.tools import check_files, check_functions, check_response_format
from localassist.storage import assistants
from localassist.storage.database import Database, Session
from localassist.tools.base import Toolbox

_SIMPLE = ("name", "description", "instructions", "temperature", "top_p", "reasoning_effort")


class Assistants:
    """``/assistants``. ``maxima`` are the limits of code that an assistant may lower."""

    def __init__(
        self, database: Database, models: Models, attachments: Attachments, maxima: Limits
    ) -> None:
        self._database = database
        self._attachments = attachments
        self._models = models
        self._maxima = maxima

    async def create(self, project: str, body: AssistantCreate) -> Assistant:
        """Raises InvalidRequest (unknown model or file, a limit of code that is none) and
        GrammarRejected (a tool's schema)."""
        fields = await self._fields(body)
        # A run will follow; by then the model should be there.
        functions = any(tool.type == "function" for tool in body.tools)
        self._models.prepare(body.model, calls_functions=functions)

        def change(session: Session) -> Assistant:
            self._resolve(session, project, body, fields)
            defaults: dict[str, Any] = {
                "tools": [],
                "tool_resources": {},
                "file_ids": [],
                "metadata": None,
            }
            made = assistants.insert(session, project, {**defaults, **fields})
            return share_files(session, project, None, made, self._attachments)

        return await self._database.write(change)

    async def retrieve(self, project: str, assistant_id: str) -> Assistant:
        return await self._database.read(
            lambda session: assistants.get(session, project, assistant_id)
        )

    async def list(self, project: str, query: ListQuery) -> Page[Assistant]:
        return await self._database.read(
            lambda session: assistants.list_page(session, project, query)
        )

    async def update(self, project: str, assistant_id: str, body: AssistantUpdate) -> Assistant:
        """Change the fields that are present; runs that exist keep what they were created with."""
        fields = await self._fields(body)

        def change(session: Session) -> Assistant:
            before = assistants.get(session, project, assistant_id, for_update=True)
            self._resolve(session, project, body, fields)
            changed = assistants.update(session, project, assistant_id, fields)
            return share_files(session, project, before, changed, self._attachments)

        return await self._database.write(change)

    async def delete(self, project: str, assistant_id: str) -> Deleted:
        await self._database.write(
            lambda session: assistants.delete(session, project, assistant_id)
        )
        return Deleted(id=assistant_id, object="assistant.deleted")

    async def _fields(self, body: AssistantCreate | AssistantUpdate) -> dict[str, Any]:
        """The columns the body sets, by wire name, checked as far as the database is not needed."""
        given = body.model_fields_set
        fields: dict[str, Any] = {name: getattr(body, name) for name in _SIMPLE if name in given}
        # null is not a model: on an update it leaves the model as it is.
        if "model" in given and body.model is not None:
            await self._models.check_chat(body.model)
            fields["model"] = body.model
        if "tools" in given:
            fields["tools"] = [tool.dump() for tool in body.tools]
            toolbox = Toolbox.from_wire(fields["tools"])
            await asyncio.to_thread(check_functions, toolbox, self._models.validate)
        if "response_format" in given:
            value = body.response_format
            fields["response_format"] = (
                value if value is None or isinstance(value, str) else value.dump()
            )
            await asyncio.to_thread(
                check_response_format, fields["response_format"], self._models.validate
            )
        if "metadata" in given:
            check_limits(body.metadata, self._maxima)
            fields["metadata"] = body.metadata
        if "file_ids" in given:
            fields["file_ids"] = body.file_ids
        return fields

    def _resolve(
        self,
        session: Session,
        project: str,
        body: AssistantCreate | AssistantUpdate,
        fields: dict[str, Any],
    ) -> None:
        """Check what the body refers to, and put its tool resources among the fields."""
        check_files(session, project, body.file_ids, "file_ids")
        if "tool_resources" in body.model_fields_set:
            given = body.tool_resources
            fields["tool_resources"] = (
                None if given is None else self._attachments.resources(session, project, given)
            )
