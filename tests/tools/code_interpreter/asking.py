"""Questions with files, and a coder over a scripted engine."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from datetime import date
from typing import Any

from localassist.chat.formats import FORMATS
from localassist.chat.prompt import PromptBuilder
from localassist.chat.template import ChatTemplate
from localassist.core import ChatMessage
from localassist.engine.scripted import ScriptedEngine
from localassist.tools.code_interpreter import Coder, Written
from localassist.tools.code_interpreter.base import CodeFile, Execution
from localassist.tools.code_interpreter.worked import Asked, Worked, worked_cell

BASEBALL = CodeFile(
    "baseball-data.csv",
    "file-b",
    90,
    "player,WAR\nMike Trout,9.1\nMookie Betts,8.2\nAnn Lee,-0.3\n",
)
SALES = CodeFile(
    "sales.csv",
    "file-s",
    200,
    "date,region,product,price,quantity\n2024-01-03,North,Lamp,9.99,3\n2024-01-10,South,Desk,19.5,1\n"
    "2024-02-03,North,Desk,21.0,2\n2025-02-09,East,Lamp,10.5,7\n",
)
NOTES = CodeFile("notes.txt", "file-n", 40, "The boats lay on the sand.\nNobody spoke.\n")
TODAY = date(2024, 5, 1)


def worked(question: str, *files: CodeFile) -> Worked | None:
    return worked_cell(Asked(question, files, TODAY))


def code_for(question: str, *files: CodeFile) -> str:
    found = worked(question, *files)
    assert found is not None, question
    compile(found.code, "cell", "exec")
    return found.code


def printed(code: str) -> str:
    """What code of the standard library prints."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(code, "cell", "exec"), {})
    return said.getvalue()


def coder(engine: ScriptedEngine, **more: Any) -> Coder:
    template = ChatTemplate(engine.chat_template, engine.special_tokens)
    builder = PromptBuilder(engine, template, FORMATS["plain"], engine.model_id)
    return Coder(engine, builder, **more)


def said(*messages: str) -> list[ChatMessage]:
    """The user's messages with nothing of note between them."""
    found: list[ChatMessage] = []
    for message in messages:
        found += [ChatMessage("user", message), ChatMessage("assistant", "Yes.")]
    return found[:-1]


async def write(
    by: Coder, messages: Sequence[ChatMessage], *files: CodeFile, after: Sequence[Execution] = ()
) -> tuple[list[str], Written]:
    """The pieces of a cell, and what it is."""
    pieces: list[str] = []
    async for item in by.write(messages, files, after):
        if isinstance(item, Written):
            assert "".join(pieces) == item.code
            return pieces, item
        pieces.append(item)
    raise AssertionError("a cell always ends")
