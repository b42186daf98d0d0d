"""Settings of the code interpreter: how kernels are isolated, what a cell may cost, how many there
are."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Provider = Literal["auto", "bubblewrap", "podman", "docker", "landlock", "unsafe"]


class SandboxSettings(BaseModel):
    """``[sandbox]`` in ``localassist.toml``. Limits are maxima: an assistant may ask for less."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: Provider = "auto"
    """What isolates kernels. ``auto`` is bubblewrap or nothing; the others are used only when they
    are named. ``landlock`` is weaker, ``unsafe`` is no isolation at all."""

    container_runtime: str | None = None
    """The OCI runtime of ``podman`` or ``docker``, such as ``runsc``; unset is their default."""

    environment: Path | None = None
    """The folder of the Python environment that kernels run in. Unset: beside the Python that runs
    localassist, or, where that cannot be written, in the data folder."""

    packages: tuple[str, ...] = ()
    """Further packages, as pip names them, that are installed for kernels."""

    uid: int = Field(default=64571, ge=1)
    """The user and group that kernels run as when localassist runs as root. No account needs to
    exist; nothing else should use it."""

    cell_seconds: float = Field(default=120.0, ge=0.1)
    """How long one piece of code may run before it is interrupted."""

    start_seconds: float = Field(default=60.0, gt=0)
    """How long a kernel may take to start."""

    memory_mb: int = Field(default=2048, ge=256)
    """Memory of all processes of a kernel together."""

    disk_mb: int = Field(default=512, ge=1)
    """What a kernel may write to ``/mnt/data``, beside the files that were given to it."""

    files: int = Field(default=10_000, ge=1)
    """How many files and folders may lie in ``/mnt/data``."""

    processes: int = Field(default=96, ge=8)
    """Processes and threads of a kernel together."""

    output_characters: int = Field(default=100_000, ge=100)
    """What is kept of the text that one piece of code prints."""

    images: int = Field(default=50, ge=0)
    """How many images one piece of code may show."""

    output_files: int = Field(default=100, ge=0)
    """How many new or changed files are kept after one piece of code."""

    max_kernels: int = Field(default=16, ge=1)
    """Kernels at the same time. Beyond it the one that was idle longest is closed."""

    warm_kernels: int = Field(default=1, ge=0)
    """Kernels that are kept ready for new threads, once any code was run."""

    idle_seconds: float = Field(default=3600.0, gt=0)
    """How long a kernel is kept, with its variables, while its thread runs no code."""

    preload: tuple[str, ...] = ("numpy", "pandas", "matplotlib.pyplot")
    """Modules that a kernel imports before it is given out."""
