"""What bwrap said where it failed, and whether the cause and the way out are named."""

from __future__ import annotations

import pytest

from localassist.sandbox.providers.bubblewrap_causes import (
    APPARMOR_PROFILE,
    Machine,
    _distribution,
    install_hint,
    why_it_failed,
    why_too_old,
)

DEBIAN = Machine(distribution=("debian",), max_user_namespaces=96365)
UBUNTU = Machine(distribution=("ubuntu", "debian"), max_user_namespaces=1, apparmor_restricts=1)
CONTAINER = Machine(is_container=True, max_user_namespaces=96365)
SWITCHED_OFF = Machine(max_user_namespaces=0)
NO_CLONE = Machine(unprivileged_userns_clone=0)

NOSPC = (
    "bwrap: Creating new namespace failed: nesting depth or /proc/sys/user/max_*_namespaces "
    "exceeded (ENOSPC)"
)
NO_PERMISSIONS = (
    "bwrap: No permissions to creating new namespace, likely because the kernel does not allow "
    "non-privileged user namespaces. On e.g. debian this can be enabled with 'sysctl "
    "kernel.unprivileged_userns_clone=1'."
)
UID_MAP = "bwrap: setting up uid map: Permission denied"
LOOPBACK = "bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted"
MOUNT_PROC = "bwrap: Can't mount proc on /newroot/proc: Operation not permitted"


@pytest.mark.parametrize(
    "said, machine, reason, hint",
    [
        (NOSPC, SWITCHED_OFF, "switched off", "user.max_user_namespaces=15000"),
        (NOSPC, DEBIAN, "used up", "user.max_user_namespaces=15000"),
        (
            "bwrap: Creating new namespace failed: No space left on device",
            SWITCHED_OFF,
            "switched off",
            "sysctl --system",
        ),
        (MOUNT_PROC, CONTAINER, "fresh /proc", "unmask=ALL"),
        (MOUNT_PROC.replace("/newroot", ""), DEBIAN, "fresh /proc", "systempaths=unconfined"),
        (UID_MAP, UBUNTU, "AppArmor", APPARMOR_PROFILE),
        (LOOPBACK, UBUNTU, "AppArmor", "apparmor_parser -r"),
        (UID_MAP, DEBIAN, "cannot be mapped", "sandbox.uid"),
        (NO_PERMISSIONS, NO_CLONE, "unprivileged_userns_clone is 0", "userns_clone=1"),
        (NO_PERMISSIONS, CONTAINER, "container", "seccomp=unconfined"),
        (NO_PERMISSIONS, DEBIAN, "refused", "seccomp=unconfined"),
        (
            "bwrap: Creating new namespace failed: Operation not permitted",
            CONTAINER,
            "container",
            "seccomp=unconfined",
        ),
        (
            "bwrap: Failed to make / slave: Permission denied",
            CONTAINER,
            "container",
            "seccomp=unconfined",
        ),
        (
            "bwrap: Creating new namespace failed, likely because the kernel does not support user "
            "namespaces.  bwrap must be installed setuid on such systems.",
            DEBIAN,
            "without user namespaces",
            "landlock",
        ),
        ("bwrap: The --size option is not permitted in setuid mode", DEBIAN, "setuid", "chmod u-s"),
        (
            "bwrap: Unexpected capabilities but not setuid, old file caps config?",
            DEBIAN,
            "capabilities",
            "AmbientCapabilities",
        ),
        ("bwrap: Unknown option --size", DEBIAN, "too old", "0.8"),
        (
            "bwrap: Can't find source path /home/ann/sessions/1: Permission denied",
            DEBIAN,
            "cannot reach",
            "CAP_SYS_ADMIN",
        ),
        ("bwrap: prctl(PR_SET_SECCOMP): Invalid argument", DEBIAN, "CONFIG_SECCOMP", None),
        (
            "bwrap: cannot open /proc/sys/user/max_user_namespaces: Read-only file system",
            DEBIAN,
            "read-only",
            "systempaths",
        ),
        (
            "Traceback (most recent call last):\n  os.setgroups([])\nPermissionError: [Errno 1] "
            "Operation not permitted",
            CONTAINER,
            "another user",
            "ordinary user",
        ),
        (
            "bwrap: Creating new namespace failed: Resource temporarily unavailable",
            DEBIAN,
            "processes",
            "ulimit -u",
        ),
        ("bwrap: Can't find source path /usr: No such file", DEBIAN, "NixOS", None),
    ],
)
def test_known_failures(said: str, machine: Machine, reason: str, hint: str | None) -> None:
    cause = why_it_failed(said, machine)
    assert reason in cause.reason
    assert said.splitlines()[-1] in cause.reason
    assert cause.hint is None if hint is None else hint in (cause.hint or "")


def test_an_unknown_failure_is_quoted() -> None:
    cause = why_it_failed("bwrap: something new\n", DEBIAN)
    assert "bwrap: something new" in cause.reason
    assert "it said nothing" in why_it_failed("", DEBIAN).reason


@pytest.mark.parametrize(
    "version, missing",
    [
        ((0, 4, 1), "--size and --disable-userns"),
        ((0, 6, 2), "--size and --disable-userns"),
        ((0, 7, 0), "lacks --disable-userns"),
        ((0,), "--size"),
    ],
)
def test_versions_that_are_too_old(version: tuple[int, ...], missing: str) -> None:
    cause = why_too_old(version, DEBIAN)
    assert cause is not None and missing in cause.reason
    assert "sudo apt-get install bubblewrap" in (cause.hint or "")


def test_versions_that_are_new_enough() -> None:
    assert all(why_too_old(version, DEBIAN) is None for version in ((0, 8, 0), (0, 11), (1, 0)))


@pytest.mark.parametrize(
    "os_release, command",
    [
        ('ID=debian\nVERSION_ID="12"\n', "sudo apt-get install bubblewrap"),
        ("ID=linuxmint\nID_LIKE='ubuntu debian'\n", "sudo apt-get install bubblewrap"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "sudo dnf install bubblewrap"),
        ("ID=arch\n", "sudo pacman -S bubblewrap"),
        ('ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', "sudo zypper install bubblewrap"),
        ("", "install the package bubblewrap of your distribution"),
    ],
)
def test_every_distribution_has_its_command(os_release: str, command: str) -> None:
    assert install_hint(Machine(distribution=_distribution(os_release))) == command
