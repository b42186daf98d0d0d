"""Whom kernels run as."""

from __future__ import annotations

import os
import pwd

from localassist.errors import SandboxUnavailable

NO_LOGIN = ("nologin", "false")


def kernel_uid(wanted: int) -> int | None:
    """``wanted`` when this process is root; None when it is not, and kernels run as the same user.
    Raises SandboxUnavailable for a user whom a kernel must not become."""
    if os.geteuid() != 0:
        return None
    try:
        shell = pwd.getpwuid(wanted).pw_shell
    except KeyError:
        shell = None
    with open("/proc/self/uid_map") as uid_map:
        reason = why_not(wanted, shell, uid_map.read())
    if reason is not None:
        raise SandboxUnavailable(
            f"Kernels cannot run as user {wanted}: {reason}. Set sandbox.uid to a number that no "
            "account has."
        )
    return wanted


def why_not(uid: int, shell: str | None, uid_map: str) -> str | None:
    """Why kernels may not run as ``uid``; ``shell`` is that of its account, None without one,
    ``uid_map`` the users there are here, as /proc says it: first, first outside, how many."""
    if uid == 0:
        return "that is root"
    # An empty shell is /bin/sh.
    if shell is not None and os.path.basename(shell) not in NO_LOGIN:
        return "it is an account that can log in"
    ranges = [tuple(map(int, line.split())) for line in uid_map.splitlines()]
    if not any(first <= uid < first + count for first, _, count in ranges):
        return "the container this is has no such user"
    return None
