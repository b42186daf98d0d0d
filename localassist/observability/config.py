"""Settings of the log."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class LoggingSettings(BaseModel):
    """``[logging]`` in ``localassist.toml``; for ``localassist serve``, on standard error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    level: Literal["debug", "info", "warning", "error"] = "warning"
    """The least that is said. Loading and closing of models is always said."""

    format: Literal["text", "json"] = "text"
    """``text`` is for people; ``json`` is one object a line, with the ids of request, run and
    thread as fields."""

    requests: bool = False
    """Say a line for every request: method, path without its query, status and duration. Nothing of
    headers or bodies is ever said."""
