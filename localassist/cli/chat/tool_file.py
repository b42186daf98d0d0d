"""A user's Python file into tools, before anything else is opened.

What is wrong with the file is a ConfigError of one line that begins with file and line. Running the
file is running the user's own program: nothing is isolated.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from localassist.client.functions import Tool, ToolDefinitionError, as_tool
from localassist.errors import ConfigError
from localassist.offline import unseal
from localassist.schemas.tools import MAX_RUN_TOOLS

_MODULE = "localassist_tool_file"


def load_tools(path: Path) -> list[Tool[..., Any]]:
    """The functions marked with ``@tool``, or where none is, all public ones the file defines.

    Raises ConfigError.
    """
    module = _run(path)
    found = [value for value in vars(module).values() if isinstance(value, Tool)]
    found = list({id(tool): tool for tool in found}.values()) or _public(module, path)
    if not found:
        raise ConfigError(
            f"{path}: there is no public function. Define one with types, or mark those to offer "
            "with @localassist.tool."
        )
    named: dict[str, Tool[..., Any]] = {}
    for tool in found:
        if named.setdefault(tool.name, tool) is not tool:
            raise ConfigError(f"{_place(tool.function, path)}: a second tool named '{tool.name}'.")
    if len(found) > MAX_RUN_TOOLS:
        raise ConfigError(
            f"{path}: {len(found)} tools, and a run takes at most {MAX_RUN_TOOLS}. Mark those to "
            "offer with @localassist.tool."
        )
    return found


def _run(path: Path) -> ModuleType:
    unseal()  # what a user's functions reach is the user's affair
    spec = importlib.util.spec_from_file_location(_MODULE, path.resolve())
    if spec is None or spec.loader is None or not path.is_file():
        reason = "this is no Python file (.py)" if path.exists() else "there is no such file"
        raise ConfigError(f"{path}: {reason}.")
    module = importlib.util.module_from_spec(spec)
    # Annotations are looked up in the module of this name; the file may import its neighbours.
    sys.modules[_MODULE] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        is_elsewhere = error.filename is not None and not _is_same(error.filename, path)
        where = str(error.filename if is_elsewhere else path)
        if error.lineno is not None:
            where += f":{error.lineno}"
        raise ConfigError(f"{where}: {error.msg}.") from error
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{_raised_at(error, path)}: {_said(error)}") from error
    return module


def _public(module: ModuleType, path: Path) -> list[Tool[..., Any]]:
    own: dict[int, Any] = {}  # a function may have several names
    for name, value in vars(module).items():
        is_own = inspect.isfunction(value) and value.__module__ == _MODULE
        if is_own and not name.startswith("_"):
            own.setdefault(id(value), value)
    tools = []
    for function in own.values():
        try:
            tools.append(as_tool(function))
        except ToolDefinitionError as error:
            raise ConfigError(f"{_place(function, path)}: {error}") from error
    return tools


def _said(error: BaseException) -> str:
    if isinstance(error, ToolDefinitionError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _raised_at(error: BaseException, path: Path) -> str:
    """The innermost line of the file on the way to the error."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if _is_same(frame.filename, path)]
    return f"{path}:{lines[-1]}" if lines else str(path)


def _place(function: Any, path: Path) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None or not _is_same(code.co_filename, path):
        return str(path)
    return f"{path}:{code.co_firstlineno}"


def _is_same(filename: str | None, path: Path) -> bool:
    return filename == str(path.resolve())
