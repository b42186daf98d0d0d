"""The five sockets of a kernel, bound by the host before the kernel starts.

The kernel inherits them, already listening, as file descriptors: no file system and no network is
shared for them, and inside ``socket()`` can be refused altogether.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

CHANNELS = ("shell", "iopub", "stdin", "hb", "control")

# ``sockaddr_un.sun_path`` is 108 bytes, one of them the end; the rest is "-5".
LONGEST = 104


class Listeners:
    """Unix sockets in ``folder``, which must belong to the service alone. ``ip`` and ``ports`` are
    what jupyter_client calls the parts of their names."""

    def __init__(self, folder: Path) -> None:
        self._folder = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.ports = {f"{channel}_port": n for n, channel in enumerate(CHANNELS, 1)}
        self.ip = str(folder / "kernel")
        if len(os.fsencode(self.ip)) > LONGEST:
            # A name for the same folder that is always short, as long as this object is open.
            self.ip = f"/proc/{os.getpid()}/fd/{self._folder}/kernel"
        self._sockets: dict[str, socket.socket] = {}
        try:
            for channel in CHANNELS:
                self._sockets[channel] = self._listen(channel)
        except BaseException:
            self.close()
            raise

    def _listen(self, channel: str) -> socket.socket:
        path = f"{self.ip}-{self.ports[f'{channel}_port']}"
        Path(path).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(path)
            listener.listen(128)
            listener.setblocking(False)
        except BaseException:
            listener.close()
            raise
        return listener

    def descriptors(self) -> dict[str, int]:
        """By channel, for the process that is to inherit them."""
        return {channel: listener.fileno() for channel, listener in self._sockets.items()}

    def handed_over(self) -> None:
        """The kernel has its own descriptors: close ours, so that a dead kernel is refused."""
        for listener in self._sockets.values():
            listener.close()
        self._sockets.clear()

    def close(self) -> None:
        """Remove the sockets. May be called again."""
        self.handed_over()
        if self._folder < 0:
            return
        for port in self.ports.values():
            try:
                os.unlink(f"kernel-{port}", dir_fd=self._folder)
            except FileNotFoundError:
                continue
        os.close(self._folder)
        self._folder = -1
