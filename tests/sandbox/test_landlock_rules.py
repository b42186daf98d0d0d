"""Landlock's rules for each version of its interface, as numbers of ``linux/landlock.h``."""

from __future__ import annotations

import errno
import struct
from pathlib import Path

import pytest

from localassist.sandbox.providers import landlock_calls
from localassist.sandbox.providers.landlock_calls import ONLY_ITSELF, UNSUPPORTED, WITHOUT_EFFECT
from localassist.sandbox.providers.landlock_rules import READ, WRITE, ruleset
from localassist.sandbox.providers.seccomp import ALLOW, ERRNO
from tests.sandbox import bpf

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
MAKE_CHAR, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK = 1 << 6, 1 << 9, 1 << 10, 1 << 11
TRUNCATE, IOCTL_DEV = 1 << 14, 1 << 15


def rights(version: int) -> dict[str, int]:
    rules = ruleset(version, read=[Path("/kernels")], write=[Path("/data")]).rules
    return dict(rules)


@pytest.mark.parametrize(
    ("version", "paths", "fields"),
    [(1, 13, 1), (2, 14, 1), (3, 15, 1), (4, 15, 2), (5, 16, 2), (6, 16, 3), (7, 16, 3)],
)
def test_everything_that_a_version_knows_is_handled(version: int, paths: int, fields: int) -> None:
    attributes = ruleset(version, read=[], write=[]).attributes
    found = struct.unpack(f"<{fields}Q", attributes)
    assert found == ((1 << paths) - 1, 3, 3)[:fields]


@pytest.mark.parametrize("version", range(1, 8))
def test_no_rule_grants_what_the_version_does_not_know(version: int) -> None:
    handled = struct.unpack_from("<Q", ruleset(version, read=[], write=[]).attributes)[0]
    assert all(granted & ~handled == 0 for granted in rights(version).values())


def test_only_data_and_what_is_the_process_own_can_be_changed() -> None:
    granted = rights(7)
    changeable = {path for path, given in granted.items() if given & (WRITE_FILE | TRUNCATE)}
    assert changeable == {"/data", "/dev/null", "/proc/self"}
    assert granted["/kernels"] == READ == EXECUTE | READ_FILE | READ_DIR
    assert granted["/data"] == WRITE


def test_no_devices_sockets_or_pipes_are_made_and_no_program_comes_from_data() -> None:
    assert not WRITE & (MAKE_CHAR | MAKE_SOCK | MAKE_FIFO | MAKE_BLOCK | EXECUTE | IOCTL_DEV)


def test_nothing_of_etc_but_what_programs_need_to_start() -> None:
    assert not {"/etc", "/etc/passwd", "/", "/proc", "/sys", "/home", "/root"} & set(rights(7))


@pytest.mark.parametrize(("machine", "audit"), [("x86_64", 0xC000003E), ("aarch64", 0xC00000B7)])
def test_what_landlock_has_no_words_for(machine: str, audit: int) -> None:
    column = 0 if machine == "x86_64" else 1
    program = landlock_calls.assemble(machine)

    def answer(number: int, *arguments: int) -> int:
        return bpf.run(program, number, [*arguments, *[0] * (6 - len(arguments))], audit)

    for calls, error in ((WITHOUT_EFFECT, 0), (UNSUPPORTED, errno.EOPNOTSUPP)):
        for numbers in calls.values():
            number = numbers[column]
            assert number is None or answer(number, 7, 7, 7) == ERRNO | error
    for numbers, argument in ONLY_ITSELF.values():
        number = numbers[column]
        assert number is not None
        others = [0] * argument + [4321]
        assert answer(number, *[9] * argument, 0) == ALLOW
        assert answer(number, *others) == ERRNO | errno.EPERM
    assert answer({"x86_64": 0, "aarch64": 63}[machine], 3) == ALLOW  # read
