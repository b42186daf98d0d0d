"""The function that models which write calls themselves are shown for running code."""

from __future__ import annotations

from collections.abc import Sequence

from localassist.core import ToolSpec
from localassist.tools.code_interpreter.base import DATA_FOLDER, CodeFile

PYTHON = "python"
_MOST_NAMED = 30  # files
_DESCRIPTION = (
    "Run Python code in a Jupyter kernel that keeps its variables between calls, and read what it "
    "prints. Use it to calculate, to work with files and to draw figures. Figures of matplotlib "
    "are shown to the user. There is no network and nothing can be installed. Print what you want "
    f"to see. Files are in {DATA_FOLDER}; write files for the user there too, and link to them as "
    f"[name](sandbox:{DATA_FOLDER}/name)."
)


def python_tool(files: Sequence[CodeFile] = ()) -> ToolSpec:
    """``python(code)``; ``files`` are those that code finds."""
    described = [_DESCRIPTION]
    if files:
        named = [f"{file.name!r} ({_size(file.size_bytes)})" for file in files[:_MOST_NAMED]]
        more = len(files) - len(named)
        rest = f", and {more} more" if more else ""
        described.append(f"The files there: {', '.join(named)}{rest}.")
    code = {"type": "string", "description": "Python code, any number of lines."}
    parameters = {
        "type": "object",
        "properties": {"code": code},
        "required": ["code"],
        "additionalProperties": False,
    }
    return ToolSpec(PYTHON, " ".join(described), parameters)


def _size(size_bytes: int) -> str:
    for unit, factor in (("MB", 10**6), ("kB", 10**3)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes} bytes"
