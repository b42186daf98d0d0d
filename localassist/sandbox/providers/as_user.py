"""Run by root as a script of its own, in front of bwrap: gives up root, and keeps folders that the
new user could not reach.

    python -I -S as_user.py PARENT UID SOURCES... -- COMMAND...

Each source is bound to a place that the user can reach, in a mount namespace that nobody else sees;
where COMMAND has ``@0`` it gets the place of the first source, and so on. Without the right to make
that namespace the sources stay where they are. PARENT is whose death ends this process. Imports
nothing of the package: ``-S`` keeps the start at some milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

CLONE_NEWNS = 0x00020000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
PR_SET_PDEATHSIG = 1


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _reachable(libc: ctypes.CDLL, sources: list[str]) -> list[str]:
    """The sources' places for a user without rights. Raises PermissionError where no namespace of
    mounts may be made."""
    stage = "/mnt" if os.path.isdir("/mnt") else "/tmp"
    _checked(libc.unshare(CLONE_NEWNS), "unshare")
    _checked(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "mount /")
    # Opened before the staging folder, which may hide them, and in the namespace they are bound in.
    opened = [os.open(source, os.O_PATH | os.O_CLOEXEC) for source in sources]
    _checked(libc.mount(b"tmpfs", stage.encode(), b"tmpfs", 0, b"size=64k,mode=0755"), "tmpfs")
    places = []
    for number, descriptor in enumerate(opened):
        place = f"{stage}/{number}"
        os.mkdir(place)
        origin = f"/proc/self/fd/{descriptor}".encode()
        _checked(libc.mount(origin, place.encode(), None, MS_BIND, None), f"bind {origin!r}")
        places.append(place)
    return places


def main(arguments: list[str]) -> None:
    split = arguments.index("--")
    parent, uid = int(arguments[0]), int(arguments[1])
    sources, command = arguments[2:split], arguments[split + 1 :]
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        places = _reachable(libc, sources)
    except PermissionError:
        places = sources
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    # After the change of user, which forgets it; the parent may have died before.
    _checked(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
    if os.getppid() != parent:
        sys.exit("the service is gone")
    # Python ignores these, and what is ignored stays so across exec.
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    by_number = {f"@{number}": place for number, place in enumerate(places)}
    os.execv(command[0], [by_number.get(argument, argument) for argument in command])


if __name__ == "__main__":
    main(sys.argv[1:])
