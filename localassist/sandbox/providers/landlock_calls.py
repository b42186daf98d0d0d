"""What Landlock has no words for, as a second filter on system calls: changes to files that are
named and not opened, and to other processes of the same user.

Loaded beside ``seccomp.assemble``, which ends programs of a foreign architecture. What was opened
for writing may be changed by its descriptor, and opening is Landlock's to refuse.
"""

from __future__ import annotations

import errno
import platform
import struct

from localassist.sandbox.providers.seccomp import (
    ALLOW,
    EQUAL,
    ERRNO,
    FIRST_ARGUMENT,
    LOAD,
    NUMBER,
    RETURN,
    Instruction,
)
from localassist.sandbox.providers.syscalls import ARCHITECTURES

Numbers = tuple[int | None, int | None]
"""(x86-64, aarch64), None where the call does not exist."""

# They do nothing, and say that it was done: copying a file would fail at its last step otherwise.
WITHOUT_EFFECT: dict[str, Numbers] = {
    "chmod": (90, None),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    # libzmq ends the process when its threads' scheduling, by their numbers, is refused.
    "sched_setattr": (314, 274),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
}
# As on a file system without extended attributes.
UNSUPPORTED: dict[str, Numbers] = {
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
}
# By the argument that has to be 0, which is the process itself.
ONLY_ITSELF: dict[str, tuple[Numbers, int]] = {
    "prlimit64": ((302, 261), 0),
    "sched_setaffinity": ((203, 122), 0),
    "setpriority": ((141, 140), 1),
    "ioprio_set": ((251, 30), 1),
}


def assemble(machine: str | None = None) -> bytes:
    """The program, for ``platform.machine()`` unless told. Raises KeyError for a processor without
    a table."""
    column = ARCHITECTURES[machine or platform.machine()].column
    program: list[Instruction] = [(LOAD, 0, 0, NUMBER)]
    for calls, answer in ((WITHOUT_EFFECT, 0), (UNSUPPORTED, errno.EOPNOTSUPP)):
        for numbers in calls.values():
            program += _call(numbers[column], [(RETURN, 0, 0, ERRNO | answer)])
    for numbers, argument in ONLY_ITSELF.values():
        itself: list[Instruction] = [
            (LOAD, 0, 0, FIRST_ARGUMENT + 8 * argument),
            (EQUAL, 0, 1, 0),
            (RETURN, 0, 0, ALLOW),
            (RETURN, 0, 0, ERRNO | errno.EPERM),
        ]
        program += _call(numbers[column], itself)
    program.append((RETURN, 0, 0, ALLOW))
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in program)


def _call(number: int | None, body: list[Instruction]) -> list[Instruction]:
    return [] if number is None else [(EQUAL, 0, len(body), number), *body]
