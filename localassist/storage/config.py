"""Settings of storage: where the database is and how durable a commit must be."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

# Whose the objects are of callers without a key, and of this machine's own commands.
DEFAULT_PROJECT = "proj_default"


class StorageSettings(BaseModel):
    """``[storage]`` in ``localassist.toml``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str | None = None
    """SQLAlchemy URL. Unset: SQLite in the data folder. A ``postgresql+psycopg://`` URL works once
    that driver is installed."""

    synchronous: Literal["full", "normal"] = "full"
    """SQLite only. ``full`` syncs the write-ahead log at every commit of acknowledged data, so a
    power cut loses nothing; ``normal`` survives a killed process but may lose the last moments
    before a power cut."""

    busy_timeout_seconds: float = Field(default=10.0, gt=0)
    """How long a writer waits for another process before the request fails."""

    readers: int = Field(default=4, ge=1, le=64)
    """Read transactions that may run at the same time."""
