"""The OpenAI Assistants API on your own machine, with a local model.

``LocalAssist`` is the official client whose server runs in this process; ``tool`` and ``run_tools``
let a model call functions of a program. Importing this package loads neither the SDK nor the
server; they come with the first use of a name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from localassist.lazy import exports

if TYPE_CHECKING:
    from localassist.client.client import AsyncLocalAssist, LocalAssist
    from localassist.client.functions import Tool, ToolDefinitionError, tool
    from localassist.client.tool_runner import run_tools, run_tools_async, stream_tools
    from localassist.errors import ConfigError, LocalAssistError
    from localassist.settings import Settings, load_settings

__version__ = "0.1.0"
__all__ = [
    "AsyncLocalAssist",
    "ConfigError",
    "LocalAssist",
    "LocalAssistError",
    "Settings",
    "Tool",
    "ToolDefinitionError",
    "__version__",
    "load_settings",
    "run_tools",
    "run_tools_async",
    "stream_tools",
    "tool",
]

_HOMES = {
    "AsyncLocalAssist": "localassist.client.client",
    "ConfigError": "localassist.errors",
    "LocalAssist": "localassist.client.client",
    "LocalAssistError": "localassist.errors",
    "Settings": "localassist.settings",
    "Tool": "localassist.client.functions",
    "ToolDefinitionError": "localassist.client.functions",
    "load_settings": "localassist.settings",
    "run_tools": "localassist.client.tool_runner",
    "run_tools_async": "localassist.client.tool_runner",
    "stream_tools": "localassist.client.tool_runner",
    "tool": "localassist.client.functions",
}


__getattr__ = exports(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
