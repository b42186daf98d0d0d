"""What assistants, threads and runs have in common: checks of tools, resources and formats."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from localassist.errors import InvalidRequest
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
    wanted = list(file_ids)
    there = files.names(session, project, wanted)
    for file_id in wanted:
        if file_id not in there:
            raise InvalidRequest(files.MISSING.format(id=file_id), param=param)
