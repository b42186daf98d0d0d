"""The filter on system calls, judged call by call by an interpreter of it."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest

from localassist.sandbox.providers import syscalls
from localassist.sandbox.providers.seccomp import assemble, supported
from localassist.sandbox.providers.syscalls import ARCHITECTURES, REFUSED
from tests.sandbox.bpf import ALLOW, ERRNO, KILL, instructions, run

MACHINES = sorted(ARCHITECTURES)
PROGRAMS = {name: assemble(name) for name in MACHINES}
HIGH = 1 << 32
"""A bit that the kernel does not look at where an argument is an int."""


def verdict(machine: str, number: int | None, *arguments: int) -> int | str:
    """``allow``, ``kill``, or the error."""
    assert number is not None
    result = run(PROGRAMS[machine], number, arguments, ARCHITECTURES[machine].audit)
    if result in (ALLOW, KILL):
        return "allow" if result == ALLOW else "kill"
    assert result & 0xFFFF0000 == ERRNO
    return result & 0xFFFF


def number(machine: str, call: tuple[int | None, int | None]) -> int | None:
    return call[ARCHITECTURES[machine].column]


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_refused_call_fails(machine: str) -> None:
    for name, call in REFUSED.items():
        if number(machine, call) is not None:
            assert verdict(machine, number(machine, call)) == errno.EPERM, name


def test_everything_else_of_the_old_numbers_passes(machine: str) -> None:
    architecture = ARCHITECTURES[machine]
    looked_at = {numbers[architecture.column] for numbers in REFUSED.values()}
    for name in ("SOCKET", "SOCKETPAIR", "CLONE", "IOCTL", "FCNTL", "PERSONALITY"):
        looked_at.add(getattr(syscalls, name)[architecture.column])
    looked_at |= {entry[architecture.column] for entry in syscalls.MODES.values()}
    for call in set(range(architecture.last + 1)) - looked_at:
        assert verdict(machine, call, -1, -1, -1, -1) == "allow", call


def test_new_calls_pass_only_by_name(machine: str) -> None:
    for call in range(ARCHITECTURES[machine].last + 1, 600):
        if call == number(machine, REFUSED["kexec_file_load"]):
            continue
        expected = "allow" if call in (*syscalls.ALLOWED_NEW, 452) else errno.ENOSYS
        assert verdict(machine, call) == expected, call


@pytest.mark.parametrize(
    "name, call",
    [("clone3", 435), ("io_uring_setup", 425), ("openat2", 437), ("fsopen", 430), ("mseal", 462)],
)
def test_calls_of_newer_kernels_do_not_exist(machine: str, name: str, call: int) -> None:
    assert verdict(machine, call) == errno.ENOSYS, name


def test_another_architecture_is_killed(machine: str) -> None:
    others = {0x40000003, 0x40000028, *(ARCHITECTURES[m].audit for m in MACHINES)}
    for other in others - {ARCHITECTURES[machine].audit}:
        assert run(PROGRAMS[machine], 0, (), other) == KILL


def test_x32_does_not_exist() -> None:
    for call in (0, 41, 165, 520):
        assert verdict("x86_64", 0x40000000 | call) == errno.ENOSYS


def test_sockets_of_every_family_are_refused(machine: str) -> None:
    socket = number(machine, syscalls.SOCKET)
    for family in range(50):
        expected = errno.EOPNOTSUPP if family == 16 else errno.EAFNOSUPPORT
        assert verdict(machine, socket, family, 1) == expected
        assert verdict(machine, socket, HIGH | family, 1) == expected


def test_families_may_be_named(machine: str) -> None:
    program = assemble(machine, families=(1,))
    architecture = ARCHITECTURES[machine]
    socket = syscalls.SOCKET[architecture.column]
    assert run(program, socket, (1, 1), architecture.audit) == ALLOW
    assert run(program, socket, (2, 1), architecture.audit) == ERRNO | errno.EAFNOSUPPORT
    assert run(program, socket, (16, 1), architecture.audit) == ERRNO | errno.EOPNOTSUPP


def test_pairs_of_sockets_are_unix_only(machine: str) -> None:
    pair = number(machine, syscalls.SOCKETPAIR)
    assert verdict(machine, pair, 1) == "allow"
    assert verdict(machine, pair, 2) == errno.EAFNOSUPPORT


def test_clone_makes_processes_and_threads_but_no_namespaces(machine: str) -> None:
    clone = number(machine, syscalls.CLONE)
    fork, thread = 0x01200011, 0x003D0F00
    assert verdict(machine, clone, fork) == verdict(machine, clone, thread) == "allow"
    namespaces = 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
    for namespace in namespaces:
        assert verdict(machine, clone, fork | namespace) == errno.EPERM
        assert verdict(machine, clone, HIGH | namespace) == errno.EPERM


def test_a_terminal_is_not_written_to(machine: str) -> None:
    """The kernel takes the low 32 bits of the command, so the filter has to do the same."""
    ioctl = number(machine, syscalls.IOCTL)
    for command in (0x5412, 0x541C, 0x5423):
        assert verdict(machine, ioctl, 0, command) == errno.EPERM
        assert verdict(machine, ioctl, 0, HIGH | command) == errno.EPERM
    for command in (0x5401, 0x5413, 0x5421):
        assert verdict(machine, ioctl, 0, command) == "allow"


def test_files_are_not_leased(machine: str) -> None:
    fcntl = number(machine, syscalls.FCNTL)
    assert verdict(machine, fcntl, 3, 1024) == errno.EPERM
    assert verdict(machine, fcntl, 3, HIGH | 1024) == errno.EPERM
    assert verdict(machine, fcntl, 3, 1025) == verdict(machine, fcntl, 3, 6) == "allow"


def test_personality_can_be_asked_not_changed(machine: str) -> None:
    personality = number(machine, syscalls.PERSONALITY)
    assert verdict(machine, personality, 0) == "allow"
    assert verdict(machine, personality, 0xFFFFFFFF) == "allow"
    assert verdict(machine, personality, 0x0400000) == errno.EPERM


def test_no_file_gets_a_set_id_bit(machine: str) -> None:
    column = ARCHITECTURES[machine].column
    for name, entry in syscalls.MODES.items():
        call, mode, flags = entry[column], entry[2], entry[3]
        if call is None:
            continue
        arguments = [0] * 4
        if flags is not None:
            arguments[flags] = 0o101  # O_CREAT | O_WRONLY
        for bits in (0o4755, 0o2755, 0o6777):
            arguments[mode] = bits
            assert verdict(machine, call, *arguments) == errno.EPERM, name
        for bits in (0o755, 0o1777, 0):
            arguments[mode] = bits
            assert verdict(machine, call, *arguments) == "allow", name


def test_a_mode_counts_only_where_a_file_is_created(machine: str) -> None:
    openat = number(machine, syscalls.MODES["openat"][:2])
    garbage = 0o6777
    assert verdict(machine, openat, 0, 0, 0, garbage) == "allow"
    assert verdict(machine, openat, 0, 0, 0o20000000, garbage) == errno.EPERM  # O_TMPFILE


def test_the_program_fits_the_kernel(machine: str) -> None:
    program = PROGRAMS[machine]
    assert len(program) % 8 == 0 and len(program) // 8 <= 4096  # BPF_MAXINSNS
    steps = instructions(program)
    for position, (code, if_true, if_false, _) in enumerate(steps):
        if code & 7 == 5:
            assert position + 1 + max(if_true, if_false) < len(steps)
    assert steps[-1][0] == 0x06


def test_processors_without_a_table() -> None:
    assert not supported("riscv64")
    with pytest.raises(KeyError):
        assemble("riscv64")


HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


def test_numbers_are_those_of_the_headers(machine: str) -> None:
    if not HEADERS[machine].exists():
        pytest.skip("the headers of Linux are not installed")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", HEADERS[machine].read_text())
    numbers = {name: int(value) for name, value in found}
    column = ARCHITECTURES[machine].column
    for name, entry in {**REFUSED, **syscalls.MODES}.items():
        if name in numbers or entry[column] is None or entry[column] < 450:
            assert numbers.get(name) == entry[column], name
    for value, name in syscalls.ALLOWED_NEW.items():
        assert numbers.get(name, value) == value
