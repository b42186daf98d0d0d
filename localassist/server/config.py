"""Settings of the HTTP server: where it listens, who may call, and how much it reads."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class ServerSettings(BaseModel):
    """``[server]`` in ``localassist.toml``. The defaults suit one person on one machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    """Address to listen on."""

    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0 picks a free one."""

    api_keys: tuple[SecretStr, ...] = ()
    """Keys that open the default project, beside those made with `localassist keys create`, of
    which each opens its own. Without either, every key and none is accepted."""

    allow_unauthenticated_network: bool = False
    """Serve an address that other machines can reach without asking for an API key."""

    max_body_bytes: int = Field(default=64 * 2**20, ge=1024)
    """Largest JSON body; it is held in memory while it is parsed."""

    max_upload_bytes: int = Field(default=513 * 2**20, ge=1024)
    """Largest multipart body; it goes to disk as it arrives."""

    keepalive_seconds: float = Field(default=15.0, gt=0)
    """Silence after which a stream sends a comment line."""

    shutdown_seconds: float = Field(default=20.0, ge=0)
    """How long runs and chat completions that are under way may go on after a stop signal. Runs
    that take longer are parked: they go on at the next start."""

    shutdown_grace_seconds: int = Field(default=5, ge=0)
    """How long open connections may go on after that."""

    body_seconds: float = Field(default=60.0, gt=0)
    """How long a request's body may take to arrive, and as much again for every MiB of it."""

    cors_origins: tuple[str, ...] = ()
    """Web origins that browsers may call from; without any, CORS is off."""

    docs: bool = True
    """Serve the documentation at `/docs`. It asks for no key: it is the same everywhere, and holds
    nothing of this installation. Off, a stranger does not learn what is served here."""

    poll_after_ms: int = Field(default=200, ge=1)
    """How long polling clients are told to sleep between two looks at a run."""
