"""The kernel that belongs to one key, and how it stands with those who use it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from localassist.sandbox.launcher import Launched, RunningKernel
from localassist.sandbox.limits import Limits


class Session:
    """The kernel of a key. One object for as long as the kernel lives, or is being started."""

    def __init__(self, key: str, limits: Limits, lost_because: str | None) -> None:
        self.key = key
        self.limits = limits
        self.lost_because = lost_because
        self.leases = 0  # whoever holds it and whoever waits for it
        self.lock = asyncio.Lock()
        self.used_at = 0.0
        self.is_dropped = False
        self.ending: asyncio.Task[None] | None = None
        self._launched: Launched | None = None

    @property
    def kernel(self) -> RunningKernel:
        return self.launched.kernel

    @property
    def data(self) -> Path:
        """The folder that the kernel sees as ``/mnt/data``."""
        return self.launched.data

    @property
    def is_new(self) -> bool:
        """Nothing was run in it yet."""
        return not self.kernel.has_run

    @property
    def notice(self) -> str | None:
        """What the key has lost before, as long as nothing was run since."""
        if self.lost_because is None or not self.is_new:
            return None
        return f"The kernel was started anew, because {self.lost_because}; variables are lost."

    @property
    def launched(self) -> Launched:
        assert self._launched is not None, "a session has its kernel while it is leased"
        return self._launched

    @property
    def is_started(self) -> bool:
        return self._launched is not None

    @property
    def is_idle(self) -> bool:
        return self.is_started and self.leases == 0 and self.ending is None

    def begin(self, launched: Launched) -> None:
        self._launched = launched
        launched.kernel.limits = self.limits
