"""Tells the service manager how far the service is: ``sd_notify(3)`` of systemd, for Type=notify.

One datagram to the socket that ``NOTIFY_SOCKET`` names; without one, nothing.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

READY = "READY=1"
STOPPING = "STOPPING=1"


def notify(*states: str) -> None:
    """Say it. A manager that does not listen harms nobody."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        # "@" stands for the zero byte of names that are in no file system.
        manager.sendto("\n".join(states).encode(), address.replace("@", "\0", 1))
