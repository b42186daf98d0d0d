"""Where a container's supervisor finds the service: a folder with a socket and the programs, bound
read-only. File descriptors come in through the socket, which no engine could hand down itself."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from localassist.sandbox.guest import guest_folder
from localassist.sandbox.providers.startup import GUEST
from localassist.sandbox.providers.supervision import SUPERVISOR, write_files

_SOCKET = "supervisor"


class Meeting:
    """``folder`` must lie in one that is the service's alone: whoever connects first is the
    supervisor."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
        write_files(folder, {SUPERVISOR: (guest_folder() / SUPERVISOR).read_bytes()})
        (folder / _SOCKET).unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._listen()
        except BaseException:
            self.listener.close()
            raise

    def _listen(self) -> None:
        # Names of sockets are short, and paths may be long.
        place = os.open(self.folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.listener.bind(f"/proc/self/fd/{place}/{_SOCKET}")
        finally:
            os.close(place)
        (self.folder / _SOCKET).chmod(0o666)
        self.listener.listen(1)
        self.listener.setblocking(False)

    @staticmethod
    def command(environment: Path) -> list[str]:
        """The supervisor, as it is started inside."""
        program = f"{GUEST}/{SUPERVISOR}"
        return [f"{environment}/bin/python", "-I", "-S", program, f"{GUEST}/{_SOCKET}"]

    def close(self) -> None:
        """May be called again."""
        self.listener.close()
        (self.folder / _SOCKET).unlink(missing_ok=True)
