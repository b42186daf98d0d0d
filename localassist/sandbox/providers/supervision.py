"""What ``sandbox/supervise.py`` is told, and how it is told: the host's half of that program."""

from __future__ import annotations

import array
import json
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localassist.sandbox.guest import guest_folder

SUPERVISOR = "supervise.py"
# Numbers that nothing else has at the start of a process.
FIRST_DESCRIPTOR = 100
_CREDENTIALS = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class Confinement:
    """What the supervisor does to a kernel before it starts."""

    uid: int | None = None
    """The user and group that it becomes, where the supervisor is root."""
    mounts: Mapping[str, Any] | None = None
    landlock: Mapping[str, Any] | None = None
    seccomp: tuple[bytes, ...] = ()


def plan(
    how: Confinement,
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: str,
    descriptors: Sequence[int] = (),
) -> bytes:
    """``descriptors`` are the numbers that those get which are sent with the plan."""
    told = {
        "command": list(command),
        "environment": dict(environment),
        "descriptors": list(descriptors),
        "folder": folder,
        "uid": how.uid,
        "mounts": how.mounts,
        "landlock": how.landlock,
        "seccomp": [program.hex() for program in how.seccomp],
    }
    return json.dumps(told).encode()


def head(told: bytes, descriptors: Sequence[int]) -> tuple[list[bytes], list[Any]]:
    """What ``sendmsg`` takes for the beginning of a plan; ``told`` itself goes after it."""
    rights = array.array("i", descriptors)
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else []
    return [struct.pack("!I", len(told))], ancillary


def local_command(descriptor: int) -> list[str]:
    """A supervisor on this machine, by the descriptor of its socket that it inherits."""
    program = str(guest_folder() / SUPERVISOR)
    return [sys.executable, "-I", "-S", program, str(descriptor)]


def peer_pid(connection: socket.socket) -> int:
    """The process at the other end of a unix socket, as it is numbered here."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(credentials)[0])


def tried(told: bytes, seconds: float = 20.0) -> tuple[int, str]:
    """Exit status and output of a plan that ends by itself, on this machine. Blocks. Raises
    TimeoutExpired and OSError."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendmsg(*head(told, ()))
        ours.sendall(told)
        done = subprocess.run(
            local_command(theirs.fileno()),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            env={},
            cwd="/",
        )
    return done.returncode, done.stdout.decode("utf-8", "replace").strip()


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Readable for whoever can come to the folder."""
    for name, content in files.items():
        path = folder / name
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        path.chmod(0o444)
