"""The filter on system calls, assembled here: a classic BPF program as bytes, no library needed.

Calls that are known and harmless pass, known dangerous ones fail with EPERM, and those the table
does not know with ENOSYS, as on an older kernel, so that programs fall back. Facts of the kernel:
Linux Documentation/userspace-api/seccomp_filter.rst and ``linux/{seccomp,filter}.h``.
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Iterable

from localassist.sandbox.providers.syscalls import (
    ALLOWED_NEW,
    ARCHITECTURES,
    CLONE,
    FCNTL,
    IOCTL,
    MODES,
    PERSONALITY,
    REFUSED,
    SOCKET,
    SOCKETPAIR,
)

Instruction = tuple[int, int, int, int]
"""``struct sock_filter``: code, jump if true, jump if false, k."""

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW = 0x7FFF0000
ERRNO = 0x00050000
KILL = 0x80000000

# Offsets in ``struct seccomp_data``; of an argument, the low 32 bits.
NUMBER = 0
ARCHITECTURE = 4
FIRST_ARGUMENT = 16

X32 = 0x40000000
AF_UNIX, AF_NETLINK = 1, 16
# All CLONE_NEW* that clone takes.
NAMESPACES = 0x7E020000
# Input pushed into a terminal, its screen's clipboard, its line discipline.
TERMINAL_IOCTLS = (0x5412, 0x541C, 0x5423)
# A lease would let a kernel hold up whoever opens its files.
F_SETLEASE = 1024
SET_ID_BITS = 0o6000
# O_CREAT and __O_TMPFILE: without one of them open takes no mode and the register holds anything.
CREATING_FLAGS = 0o100 | 0o20000000


def supported(machine: str | None = None) -> bool:
    """Whether there is a table for this processor."""
    return (machine or platform.machine()) in ARCHITECTURES


def assemble(machine: str | None = None, *, families: Iterable[int] = ()) -> bytes:
    """The program, for ``platform.machine()`` unless told. ``families`` are the address families
    that ``socket()`` may use. Raises KeyError for a processor without a table."""
    architecture = ARCHITECTURES[machine or platform.machine()]
    column = architecture.column
    program: list[Instruction] = [
        (LOAD, 0, 0, ARCHITECTURE),
        (EQUAL, 1, 0, architecture.audit),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER),
    ]
    if column == 0:
        program += [(AT_LEAST, 0, 1, X32), _fail(errno.ENOSYS)]
    for numbers in REFUSED.values():
        program += _call(numbers[column], [_fail(errno.EPERM)])
    program += _call(SOCKET[column], _socket(families))
    program += _call(SOCKETPAIR[column], _only(0, (AF_UNIX,), errno.EAFNOSUPPORT))
    program += _call(CLONE[column], _no_bits(0, NAMESPACES))
    program += _call(IOCTL[column], _none_of(1, TERMINAL_IOCTLS))
    program += _call(FCNTL[column], _none_of(1, (F_SETLEASE,)))
    program += _call(PERSONALITY[column], _only(0, (0, 0xFFFFFFFF), errno.EPERM))
    for *both, mode, flags in MODES.values():
        program += _call(both[column], _creating(flags) + _no_bits(mode or 0, SET_ID_BITS))
    for number in sorted(ALLOWED_NEW):
        program += _call(number, [(RETURN, 0, 0, ALLOW)])
    program += [(AT_LEAST, 0, 1, architecture.last + 1), _fail(errno.ENOSYS)]
    program.append((RETURN, 0, 0, ALLOW))
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in program)


def _call(number: int | None, body: list[Instruction]) -> list[Instruction]:
    """``body`` for one call. It may replace the accumulator, so it has to end with a return."""
    if number is None:
        return []
    assert body[-1][0] == RETURN
    return [(EQUAL, 0, len(body), number), *body]


def _fail(number: int) -> Instruction:
    return (RETURN, 0, 0, ERRNO | number)


def _load(argument: int) -> Instruction:
    return (LOAD, 0, 0, FIRST_ARGUMENT + 8 * argument)


def _only(argument: int, values: Iterable[int], error: int) -> list[Instruction]:
    allowed = [step for v in values for step in ((EQUAL, 0, 1, v), (RETURN, 0, 0, ALLOW))]
    return [_load(argument), *allowed, _fail(error)]


def _none_of(argument: int, values: Iterable[int]) -> list[Instruction]:
    refused = [step for v in values for step in ((EQUAL, 0, 1, v), _fail(errno.EPERM))]
    return [_load(argument), *refused, (RETURN, 0, 0, ALLOW)]


def _no_bits(argument: int, bits: int) -> list[Instruction]:
    return [_load(argument), (ANY_BIT, 0, 1, bits), _fail(errno.EPERM), (RETURN, 0, 0, ALLOW)]


def _creating(flags: int | None) -> list[Instruction]:
    """Lets an open pass that creates no file."""
    if flags is None:
        return []
    return [_load(flags), (ANY_BIT, 1, 0, CREATING_FLAGS), (RETURN, 0, 0, ALLOW)]


def _socket(families: Iterable[int]) -> list[Instruction]:
    # libzmq looks at interfaces through netlink and aborts on EAFNOSUPPORT.
    *steps, last = _only(0, families, errno.EAFNOSUPPORT)
    return [*steps, (EQUAL, 0, 1, AF_NETLINK), _fail(errno.EOPNOTSUPP), last]
