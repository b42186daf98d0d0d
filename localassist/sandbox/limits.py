"""What a kernel may use: the operator's maxima, and less where an assistant asks for less."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from localassist.sandbox.config import SandboxSettings


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one kernel; the fields are those of ``SandboxSettings``."""

    cell_seconds: float
    memory_mb: int
    disk_mb: int
    files: int
    processes: int
    output_characters: int
    images: int
    output_files: int

    @classmethod
    def of(cls, settings: SandboxSettings) -> Limits:
        return cls(
            settings.cell_seconds,
            settings.memory_mb,
            settings.disk_mb,
            settings.files,
            settings.processes,
            settings.output_characters,
            settings.images,
            settings.output_files,
        )

    def lowered(self, wanted: Mapping[str, float]) -> Limits:
        """With what is wanted, by field, where that is less."""
        lower = {name: min(value, getattr(self, name)) for name, value in wanted.items()}
        return replace(self, **lower)
