"""Settings of what is forgotten, and when."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class RetentionSettings(BaseModel):
    """``[retention]`` in ``localassist.toml``. Nothing that a caller has made goes by default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    thread_days: int | None = Field(default=None, ge=1)
    """Days after its last message or run after which a thread is deleted, with all that belongs to
    it. One whose run is not at its end stays. Unset: never."""

    file_days: int | None = Field(default=None, ge=1)
    """Days for which nothing has named a file of purpose `assistants` or `assistants_output` after
    which it is deleted. Unset: never."""

    timeline_days: int | None = Field(default=None, ge=1)
    """Days after its end for which a run's time line is kept. Unset: as long as the run."""

    cursor_days: int | None = Field(default=30, ge=1)
    """Days for which the id of a deleted object can still be the cursor of a list. Unset: for
    ever."""

    snapshot_days: int | None = Field(default=None, ge=1)
    """Days after its last use for which a saved piece of a conversation's KV cells is kept, within
    `engine.snapshot_disk_mb`. Unset: until its room is needed."""

    free_mb: int = Field(default=256, ge=0)
    """MiB that may stay free inside of the SQLite database, for what is written next. A sweep gives
    the rest back to the disk, a MiB at a time, beside other writers."""

    sweep_minutes: float = Field(default=60.0, gt=0)
    """How often a service looks for what has to go."""
