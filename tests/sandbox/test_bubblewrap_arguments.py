"""What bwrap is told, as a function of the box; nothing is started."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from localassist.errors import SandboxUnavailable
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.limits import Limits
from localassist.sandbox.providers import Box, startup
from localassist.sandbox.providers.bubblewrap_arguments import (
    ETC,
    NAMESPACES,
    PROTECTIONS,
    Layout,
    arguments,
)
from localassist.sandbox.providers.users import kernel_uid, why_not

LIMITS = Limits.of(SandboxSettings())
BOX = Box(Path("/s/box"), Path("/s/data"), Path("/tmp/venv"), Path("/opt/python"), LIMITS)
LAYOUT = Layout(
    links={"/bin": "usr/bin", "/lib64": "usr/lib64"},
    folders=("/lib",),
    proc=frozenset({"cmdline", "keys", "acpi"}),
    etc=frozenset({"ld.so.cache"}),
)


def told(box: Box = BOX) -> list[str]:
    """Data is shown as its length, sources as ``host:`` paths."""
    return arguments(
        box,
        LAYOUT,
        files={"start.json": b"{}"},
        source=lambda path: f"host:{path}",
        data_descriptor=lambda content: 1000 + len(content),
        info_descriptor=7,
        seccomp=b"filter",
    )


def follows(words: list[str], *sequence: str) -> int:
    """Where the sequence stands; fails when it does not."""
    for at in range(len(words)):
        if tuple(words[at : at + len(sequence)]) == sequence:
            return at
    raise AssertionError(f"{sequence} is not in {words}")


def test_all_namespaces_come_first() -> None:
    words = told()
    flags = [flag for _, group in NAMESPACES for flag in group]
    assert words[: len(flags)] == flags
    assert {"--unshare-user", "--disable-userns", "--die-with-parent", "--clearenv"} <= set(flags)
    assert "--share-net" not in words and "--unshare-net" in flags


def test_mounts_stand_in_their_order() -> None:
    """An environment below /tmp is seen, masks lie over /proc, and / is closed last."""
    words = told()
    order = [
        follows(words, "--ro-bind", "/usr", "/usr"),
        follows(words, "--proc", "/proc"),
        follows(words, "--ro-bind", "/dev/null", "/proc/keys"),
        follows(words, "--tmpfs", "/proc/acpi", "--remount-ro", "/proc/acpi"),
        follows(words, "--remount-ro", "/dev"),
        follows(words, "--tmpfs", "/tmp"),
        follows(words, "--ro-bind", "host:/tmp/venv", "/tmp/venv"),
        follows(words, "--ro-bind", "host:/opt/python", "/opt/python"),
        follows(words, "--bind", "host:/s/data", "/mnt/data"),
        follows(words, "--remount-ro", "/"),
        follows(words, "--seccomp", "1006"),
        follows(words, "--chdir", "/mnt/data"),
    ]
    assert order == sorted(order)


def test_only_the_data_can_be_written() -> None:
    words = told()
    assert [words[at + 1] for at, word in enumerate(words) if word == "--bind"] == ["host:/s/data"]
    assert "--dev-bind" not in words


def test_every_tmpfs_has_a_size() -> None:
    words = told()
    for at, word in enumerate(words):
        if word == "--tmpfs":
            assert words[at - 4] == "--size" and words[at - 2] == "--perms"


def test_nothing_of_the_hosts_etc_but_caches() -> None:
    words = told()
    sources = {words[at + 1] for at, word in enumerate(words) if word == "--ro-bind"}
    assert {path for path in sources if path.startswith("/etc")} == {"/etc/ld.so.cache"}
    assert all(f"/etc/{name}" in words for name in ETC)


def test_an_interpreter_of_the_system_needs_no_mount() -> None:
    for base in ("/usr", "/usr/local", "/"):
        words = told(replace(BOX, python_base=Path(base)))
        assert f"host:{base}" not in words


@pytest.mark.parametrize("name", sorted(PROTECTIONS))
def test_each_protection_can_be_left_out_alone(name: str) -> None:
    """Either bwrap is told something else, or the start program is, or the launcher."""
    less = replace(BOX, without=frozenset({name}))
    connection = {"key": b"k"}
    changed = (
        told(less) != told(),
        startup.files(less, connection, {}) != startup.files(BOX, connection, {}),
        startup.command(less) != startup.command(BOX),
        name == "unprivileged-uid",
    )
    assert any(changed)


def test_no_setting_leaves_anything_out() -> None:
    assert "without" not in SandboxSettings.model_fields
    assert BOX.without == frozenset()


def test_limits_go_into_the_kernel() -> None:
    limits = startup.rlimits(replace(BOX, limits=replace(LIMITS, processes=50, disk_mb=3)), "6.1.0")
    assert limits["RLIMIT_NPROC"] == 50
    assert limits["RLIMIT_FSIZE"] == 3 << 20
    assert limits["RLIMIT_CORE"] == 0


@pytest.mark.parametrize(
    "release, counted",
    [("4.18.0-553.el8", False), ("5.13.9", False), ("5.14.0", True), ("6.18.44-x", True)],
)
def test_processes_are_counted_by_namespace_since_5_14(release: str, counted: bool) -> None:
    assert startup.counts_processes_by_namespace(release) is counted
    assert ("RLIMIT_NPROC" in startup.rlimits(BOX, release)) is counted


@pytest.mark.parametrize(
    "uid, shell, reason",
    [
        (0, "/bin/bash", "root"),
        (0, None, "root"),
        (1001, "/bin/bash", "can log in"),
        (1001, "", "can log in"),
        (33, "/usr/sbin/nologin", None),
        (99, "/bin/false", None),
        (64571, None, None),
    ],
)
def test_whom_kernels_may_run_as(uid: int, shell: str | None, reason: str | None) -> None:
    refusal = why_not(uid, shell, "0 0 4294967295\n")
    assert refusal is None if reason is None else reason in (refusal or "")


@pytest.mark.parametrize(
    "uid_map, has_one",
    [
        ("         0          0 4294967295\n", True),
        ("0 100000 65536\n", True),
        ("0 1000 1\n", False),
        ("0 1000 1\n1 100000 65536\n", True),
        ("0 1000 1\n1 100000 60000\n", False),
    ],
)
def test_a_container_may_lack_the_user(uid_map: str, has_one: bool) -> None:
    assert (why_not(64571, None, uid_map) is None) is has_one


def test_a_service_that_is_not_root_keeps_its_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert kernel_uid(0) is None
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(SandboxUnavailable, match=r"sandbox\.uid"):
        kernel_uid(0)
