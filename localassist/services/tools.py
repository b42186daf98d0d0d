"""What assistants, threads and runs have in common: checks of tools, resources and formats."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from localassist.errors import InvalidRequest, ResourceNotFound, UnsupportedParameter
from localassist.schemas.tools import ToolResources, ToolResourcesCreate
from localassist.storage import files
from localassist.storage.database import Session
from localassist.tools.base import Toolbox
from localassist.tools.grammar import Validate, answer_rule, check_tools


def check_functions(toolbox: Toolbox, validate: Validate) -> None:
    """That every function's schema can be enforced. GrammarRejected names tool and keyword."""
    check_tools(toolbox.functions, validate, positions=toolbox.positions)


def check_response_format(response_format: Any, validate: Validate) -> None:
    """That the format's schema can be enforced. Raises GrammarRejected."""
    answer_rule(response_format, validate)


def check_files(session: Session, project: str, file_ids: Iterable[str], param: str) -> None:
    """That the files exist. Raises InvalidRequest (a 400: the id is part of a body)."""
    for file_id in file_ids:
        try:
            files.get(session, project, file_id)
        except ResourceNotFound as error:
            raise InvalidRequest(error.message, param=param) from error


def checked_resources(
    session: Session, project: str, resources: ToolResources | ToolResourcesCreate | None
) -> dict[str, Any]:
    """Tool resources as stored. Raises InvalidRequest for files and ResourceNotFound for vector
    stores that are not there."""
    if resources is None:
        return {}
    code = resources.code_interpreter
    if code is not None:
        check_files(session, project, code.file_ids, "tool_resources.code_interpreter.file_ids")
    search = resources.file_search
    if search is not None:
        if getattr(search, "vector_stores", None):
            raise UnsupportedParameter(
                "This server has no vector stores: 'tool_resources.file_search.vector_stores' "
                "cannot be used.",
                param="tool_resources.file_search.vector_stores",
            )
        for store_id in search.vector_store_ids or []:
            raise ResourceNotFound(f"No vector store found with id '{store_id}'.")
    stored = resources.stored() if isinstance(resources, ToolResourcesCreate) else resources
    return stored.dump()
