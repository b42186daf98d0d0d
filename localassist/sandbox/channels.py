"""A kernel's sockets that are of use here: shell for requests and replies, iopub for what comes of
them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from localassist.sandbox import wire
from localassist.sandbox.connection import Address, Connection


class Channels:
    """Connected to one kernel. Reading is up to who has sent a request; nothing is read between."""

    def __init__(self, shell: Connection, iopub: Connection, key: bytes) -> None:
        self.shell = shell
        self.iopub = iopub
        self.key = key
        self._session = uuid.uuid4().hex

    @classmethod
    async def open(cls, connection: Mapping[str, Any]) -> Channels:
        """To the kernel that a connection file describes. Raises ConnectionLost."""
        shell = await Connection.open(_address(connection, "shell_port"), b"DEALER")
        try:
            iopub = await Connection.open(_address(connection, "iopub_port"), b"SUB")
        except BaseException:
            shell.close()
            raise
        key = connection["key"]
        return cls(shell, iopub, key.encode() if isinstance(key, str) else key)

    def request(self, message_type: str, content: dict[str, Any]) -> tuple[str, list[bytes]]:
        """A request's id, and what is to be sent on ``shell``."""
        return wire.request(message_type, content, self._session, self.key)

    def close(self) -> None:
        self.shell.close()
        self.iopub.close()


def _address(connection: Mapping[str, Any], port: str) -> Address:
    if connection["transport"] == "ipc":
        return f"{connection['ip']}-{connection[port]}"
    return connection["ip"], connection[port]
