"""An interpreter of classic BPF, enough of it for a seccomp filter: the judge of the assembler."""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence

ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000


@functools.cache
def instructions(program: bytes) -> list[tuple[int, int, int, int]]:
    """``struct sock_filter``: code, jump if true, jump if false, k."""
    return list(struct.iter_unpack("<HBBI", program))


def run(program: bytes, number: int, arguments: Sequence[int], architecture: int) -> int:
    """What the kernel would do with a system call: ALLOW, KILL, or ERRNO with the error."""
    values = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<IIQ6Q", number, architecture, 0, *[v & (1 << 64) - 1 for v in values])
    steps = instructions(program)
    accumulator = position = 0
    while True:
        code, if_true, if_false, k = steps[position]
        position += 1
        if code == 0x20:  # BPF_LD | BPF_W | BPF_ABS
            assert k % 4 == 0 and k <= len(data) - 4, "the kernel refuses this load"
            (accumulator,) = struct.unpack_from("<I", data, k)
        elif code == 0x15:  # BPF_JMP | BPF_JEQ | BPF_K
            position += if_true if accumulator == k else if_false
        elif code == 0x35:  # BPF_JMP | BPF_JGE | BPF_K
            position += if_true if accumulator >= k else if_false
        elif code == 0x45:  # BPF_JMP | BPF_JSET | BPF_K
            position += if_true if accumulator & k else if_false
        elif code == 0x06:  # BPF_RET | BPF_K
            return int(k)
        else:
            raise AssertionError(f"an instruction of another kind: {code:#x}")
