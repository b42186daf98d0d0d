"""What a check looks at, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from localassist.engine.config import EngineSettings
from localassist.registry.config import ModelsSettings
from localassist.sandbox.config import SandboxSettings
from localassist.server.config import ServerSettings
from localassist.storage.config import StorageSettings

Status = Literal["ok", "warning", "failed", "unused"]
"""``warning``: it works, with a reservation. ``unused``: neither wanted nor needed, or not there
yet."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about one thing. ``says`` are sentences, the most important first;
    ``fix`` is what to do, as a command where there is one."""

    name: str
    status: Status
    says: tuple[str, ...]
    fix: str | None = None


class Configuration(Protocol):
    """The sections of the settings that are looked at."""

    @property
    def home(self) -> Path: ...
    @property
    def storage(self) -> StorageSettings: ...
    @property
    def models(self) -> ModelsSettings: ...
    @property
    def engine(self) -> EngineSettings: ...
    @property
    def sandbox(self) -> SandboxSettings: ...
    @property
    def server(self) -> ServerSettings: ...


def size(of_bytes: float) -> str:
    """Bytes for people, in the units of the settings."""
    if of_bytes < 2**30:
        return f"{of_bytes / 2**20:,.0f} MiB"
    return f"{of_bytes / 2**30:,.1f} GiB"
