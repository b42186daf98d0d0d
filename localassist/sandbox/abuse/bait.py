"""What stands on the host to be reached: files, a process, listeners, an environment variable.

All of it is made for the suite, holds one random word, and is as reachable as it can be without
the isolation: it belongs to the user that kernels run as, or to everybody.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "LOCALASSIST_ABUSE_BAIT"


@dataclass(slots=True)
class Bait:
    uid: int | None
    """Whom kernels run as; None for the user of this process."""
    word: str
    folder: Path
    """Everybody may write here, as in ``/tmp``."""
    secret: Path
    """A file of the user that kernels run as; it holds the word."""
    victim: subprocess.Popen[bytes]
    """A process of that user, with the word in its environment."""
    tcp_port: int
    tcp6_port: int | None
    udp_port: int
    unix_path: Path
    abstract_name: str

    def literal(self) -> str:
        """The bait as Python, for the prelude of a kernel."""
        told = {
            "word": self.word,
            "folder": str(self.folder),
            "secret": str(self.secret),
            "victim": self.victim.pid,
            "tcp_port": self.tcp_port,
            "tcp6_port": self.tcp6_port,
            "udp_port": self.udp_port,
            "unix_path": str(self.unix_path),
            "abstract_name": self.abstract_name,
            "variable": VARIABLE,
        }
        return f"BAIT = {told!r}\n"

    def victim_lives(self) -> bool:
        return self.victim.poll() is None

    def replace_victim(self) -> None:
        """Another one. Kernels that were told of the last one do not know it."""
        self.end_victim()
        self.victim = _victim(self.uid)

    def end_victim(self) -> None:
        self.victim.kill()
        self.victim.wait()


@contextlib.contextmanager
def set_out(uid: int | None) -> Iterator[Bait]:
    """Everything in its place until the block ends."""
    with contextlib.ExitStack() as stack:
        yield _set_out(stack, uid)


def _set_out(stack: contextlib.ExitStack, uid: int | None) -> Bait:
    word = secrets.token_hex(16)
    folder = Path(tempfile.mkdtemp(prefix="localassist-abuse-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o777)
    secret = folder / "secret.txt"
    secret.write_text(word, "utf-8")
    secret.chmod(0o600)
    if uid is not None:
        os.chown(secret, uid, uid)
    os.environ[VARIABLE] = word
    stack.callback(os.environ.pop, VARIABLE, None)
    unix_path = folder / "service.sock"
    abstract = f"localassist-abuse-{secrets.token_hex(4)}"
    port = _listen(stack, word, socket.AF_INET, ("127.0.0.1", 0))
    assert port is not None
    _listen(stack, word, socket.AF_UNIX, str(unix_path))
    unix_path.chmod(0o777)
    _listen(stack, word, socket.AF_UNIX, f"\0{abstract}")
    bait = Bait(
        uid=uid,
        word=word,
        folder=folder,
        secret=secret,
        victim=_victim(uid),
        tcp_port=port,
        tcp6_port=_listen(stack, word, socket.AF_INET6, ("::1", 0)),
        udp_port=_echo(stack, word),
        unix_path=unix_path,
        abstract_name=abstract,
    )
    stack.callback(bait.end_victim)
    return bait


def _victim(uid: int | None) -> subprocess.Popen[bytes]:
    """Sleeps; ends by itself should it ever be forgotten."""
    command = ["sleep", "900"]
    if uid is None:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, cwd="/")
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, cwd="/", user=uid, group=uid, extra_groups=()
    )


def _listen(
    stack: contextlib.ExitStack, word: str, family: socket.AddressFamily, address: object
) -> int | None:
    """A listener that says the word to whoever connects: its port; None where the family is not
    offered."""
    try:
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.bind(address)  # type: ignore[arg-type]
    except OSError:
        if family != socket.AF_INET6:
            raise
        return None
    listener.listen()

    def answer() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = listener.accept()[0]
                with connection, contextlib.suppress(OSError):
                    connection.sendall(word.encode())

    _serve(stack, listener, answer)
    name = listener.getsockname()
    return int(name[1]) if isinstance(name, tuple) else 0


def _echo(stack: contextlib.ExitStack, word: str) -> int:
    """A UDP service that answers any packet with the word: its port."""
    service = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    service.bind(("127.0.0.1", 0))

    def answer() -> None:
        with contextlib.suppress(OSError):
            while (asker := service.recvfrom(2048)[1]) is not None:
                service.sendto(word.encode(), asker)

    _serve(stack, service, answer)
    return int(service.getsockname()[1])


def _serve(stack: contextlib.ExitStack, service: socket.socket, answer: Callable[[], None]) -> None:
    thread = threading.Thread(target=answer, daemon=True)

    def end() -> None:
        with contextlib.suppress(OSError):
            service.shutdown(socket.SHUT_RDWR)  # wakes accept and recvfrom, which close does not
        service.close()
        thread.join(5)

    thread.start()
    stack.callback(end)
