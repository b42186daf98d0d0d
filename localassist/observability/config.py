"""Settings of the log and of traces."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class LoggingSettings(BaseModel):
    """``[logging]`` in ``localassist.toml``; for ``localassist serve``, on standard error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: Literal["debug", "info", "warning", "error"] = "warning"
    """The lowest level that is logged. Loading and closing of models is always logged."""

    format: Literal["text", "json"] = "text"
    """``text`` is for people; ``json`` is one object a line, with the ids of request, run and
    thread as fields."""

    requests: bool = False
    """Log a line for every request: method, path without its query, status and duration.
    Headers and bodies are never logged."""


class TracingSettings(BaseModel):
    """``[tracing]`` in ``localassist.toml``; for ``localassist serve``. Without an endpoint nothing
    is traced and nothing is sent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: str | None = Field(default=None, pattern=r"^https?://[^\s/]+/?$")
    """Where OpenTelemetry spans are sent, by OTLP over gRPC, such as `http://127.0.0.1:4317`. They
    hold ids, routes, names of models and tools, counts and durations, never what anybody wrote.
    Needs the extra `otel`. What OpenTelemetry reads from `OTEL_` environment variables, such as
    headers, holds too."""

    sample_ratio: float = Field(default=1.0, ge=0, le=1)
    """The share of traces that are kept, where a caller's `traceparent` does not decide it."""
