"""Kernels for tests: a box in a temporary folder, and code run in it without ceremony."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from localassist.errors import SandboxUnavailable
from localassist.sandbox import wire
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.environment import Environment, find_environment
from localassist.sandbox.limits import Limits
from localassist.sandbox.providers import PROVIDERS, Box, Provider
from localassist.sandbox.starting import Started, start

# Read when tests are collected: no test sees the settings of whoever runs it.
_SET = os.environ.get("LOCALASSIST_SANDBOX__ENVIRONMENT")
_HOME = Path(os.path.expanduser(os.environ.get("LOCALASSIST_HOME", "~/.localassist")))


def the_environment() -> Environment:
    """The environment of kernels; skips the test where there is none."""
    settings = SandboxSettings(environment=Path(_SET) if _SET else None)
    try:
        return find_environment(settings, _HOME)
    except SandboxUnavailable as error:
        pytest.skip(error.message)


def a_box(folder: Path, provider: Provider, **changes: Any) -> Box:
    """Folders below ``folder``, which belong to whom they must."""
    environment = the_environment()
    box, data = folder / "box", folder / "data"
    for path in (box, data):
        path.mkdir(mode=0o700, parents=True)
    without = changes.get("without", frozenset())
    uid = provider.owner_uid()
    if uid is not None and "unprivileged-uid" not in without:
        os.chown(data, uid, uid)
    known: dict[str, Any] = {
        "folder": box,
        "data": data,
        "environment": environment.folder,
        "python_base": environment.python_base,
        "limits": Limits.of(provider.settings),
    }
    return Box(**{**known, **changes})


async def a_kernel(
    folder: Path, settings: SandboxSettings | None = None, name: str = "bubblewrap", **changes: Any
) -> Started:
    settings = settings or SandboxSettings()
    provider = PROVIDERS[name](settings)
    return await start(provider, a_box(folder, provider, **changes), settings)


async def said(kernel: Started, code: str, seconds: float = 60.0) -> str:
    """What the code prints, the value of its last expression, or its exception as ``Name: text``;
    of a display, its media types."""
    asked = await ask(kernel, code)
    return await asyncio.wait_for(_answer(kernel, asked), seconds)


async def _answer(kernel: Started, asked: str) -> str:
    texts = []
    while True:
        for frames in await kernel.channels.iopub.receive():
            message = wire.parse(frames, kernel.channels.key)
            content = message.content
            if message.parent_id != asked:
                continue
            match message.message_type:
                case "stream":
                    texts.append(content["text"])
                case "execute_result":
                    texts.append(content["data"]["text/plain"])
                case "display_data":
                    texts.append(" ".join(sorted(content["data"])))
                case "error":
                    texts.append(f"{content['ename']}: {content['evalue']}")
                case "status" if content["execution_state"] == "idle":
                    return "".join(texts).strip()


async def ask(kernel: Started, code: str) -> str:
    """Have code run; the id of the request."""
    content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
    asked, frames = kernel.channels.request("execute_request", content)
    await kernel.channels.shell.send(frames)
    return asked


def alive(pids: list[int]) -> list[int]:
    """Those that still run; a zombie does not."""
    return [pid for pid in pids if _state(pid) not in (None, "Z", "X")]


def _state(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return stat.rpartition(")")[2].split()[0]
