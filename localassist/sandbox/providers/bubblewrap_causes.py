"""Why bwrap fails, in words: from what it says and what is known about the machine. Pure.

The texts are those of bwrap 0.4 to 0.11 as distributions ship it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

LEAST_VERSION = (0, 8)


@dataclass(frozen=True, slots=True)
class Machine:
    """``distribution``: ID and ID_LIKE of os-release. Sysctls are None where they do not exist."""

    distribution: tuple[str, ...] = ()
    is_container: bool = False
    max_user_namespaces: int | None = None
    unprivileged_userns_clone: int | None = None
    apparmor_restricts: int | None = None

    @classmethod
    def this(cls) -> Machine:
        return cls(
            distribution=_distribution(_text("/etc/os-release") or ""),
            is_container=any(map(os.path.exists, ("/.dockerenv", "/run/.containerenv"))),
            max_user_namespaces=_number("/proc/sys/user/max_user_namespaces"),
            unprivileged_userns_clone=_number("/proc/sys/kernel/unprivileged_userns_clone"),
            apparmor_restricts=_number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
        )


APPARMOR_PROFILE = "/etc/apparmor.d/bwrap-userns-restrict"
APPARMOR_HINT = (
    "sudo apt-get install apparmor-profiles && sudo install -m 0644 "
    "/usr/share/apparmor/extra-profiles/bwrap-userns-restrict /etc/apparmor.d/ && "
    f"sudo apparmor_parser -r {APPARMOR_PROFILE}"
)
CONTAINER_HINT = (
    "Start the container with --security-opt seccomp=unconfined --security-opt "
    "systempaths=unconfined (podman: --security-opt unmask=ALL), or set sandbox.provider to podman "
    "or docker where their engine can be reached."
)


@dataclass(frozen=True, slots=True)
class Cause:
    """``hint`` is what an operator can do, as a command where there is one."""

    reason: str
    hint: str | None = None


def why_it_failed(said: str, machine: Machine) -> Cause:
    """The cause of a failed start. ``said`` is the error output of bwrap or of the launcher."""
    for pattern, holds, cause in CAUSES:
        if re.search(pattern, said) and holds(machine):
            return replace(cause, reason=f"{cause.reason} ({_last_line(said)})")
    return Cause(f"The sandbox could not be started: {_last_line(said) or 'it said nothing'}.")


def why_too_old(version: tuple[int, ...], machine: Machine) -> Cause | None:
    """None for a version that is new enough."""
    if version >= LEAST_VERSION:
        return None
    is_, least = (".".join(map(str, numbers)) for numbers in (version, LEAST_VERSION))
    missing = "--disable-userns" if version >= (0, 7) else "--size and --disable-userns"
    return Cause(
        f"bwrap {is_} is too old: {least} is the first with all that is needed, this one lacks "
        f"{missing}.",
        f"Install bubblewrap {least} or newer: {install_hint(machine)}",
    )


def install_hint(machine: Machine) -> str:
    """The command that installs bubblewrap."""
    for distribution in machine.distribution:
        if distribution in INSTALL:
            return f"{INSTALL[distribution]} bubblewrap"
    return "install the package bubblewrap of your distribution"


INSTALL = {
    "debian": "sudo apt-get install",
    "ubuntu": "sudo apt-get install",
    "fedora": "sudo dnf install",
    "rhel": "sudo dnf install",
    "centos": "sudo dnf install",
    "arch": "sudo pacman -S",
    "suse": "sudo zypper install",
    "opensuse": "sudo zypper install",
    "alpine": "sudo apk add",
    "gentoo": "sudo emerge",
    "void": "sudo xbps-install",
}


def _any(machine: Machine) -> bool:
    return True


# The first whose pattern is found and whose condition holds. The order matters: the same text has
# several causes, the most particular stands first.
CAUSES: tuple[tuple[str, Callable[[Machine], bool], Cause], ...] = (
    (
        r"setuid mode|Unexpected setuid user",
        _any,
        Cause(
            "bwrap is installed setuid root, and then it does not offer all that is needed.",
            "sudo chmod u-s $(command -v bwrap) && sudo sysctl -w "
            "kernel.unprivileged_userns_clone=1",
        ),
    ),
    (
        r"Unexpected capabilities but not setuid",
        _any,
        Cause(
            "The service runs with capabilities but not as root, which bwrap refuses.",
            "Start the service without ambient capabilities (systemd: AmbientCapabilities=), and "
            "remove those of the program: sudo setcap -r $(command -v bwrap)",
        ),
    ),
    (
        r"Unknown option --(size|perms|disable-userns|info-fd|clearenv)",
        _any,
        Cause("bwrap is too old.", "Install bubblewrap 0.8 or newer."),
    ),
    (
        r"ENOSPC|No space left on device",
        lambda machine: machine.max_user_namespaces == 0,
        Cause(
            "User namespaces are switched off: user.max_user_namespaces is 0.",
            "echo user.max_user_namespaces=15000 | sudo tee /etc/sysctl.d/90-userns.conf && sudo "
            "sysctl --system",
        ),
    ),
    (
        r"ENOSPC|No space left on device",
        _any,
        Cause(
            "No further namespace may be made: a limit under /proc/sys/user/max_*_namespaces is "
            "used up, or this machine is itself nested too deep.",
            "sudo sysctl -w user.max_user_namespaces=15000 user.max_pid_namespaces=15000 "
            "user.max_net_namespaces=15000 user.max_mnt_namespaces=15000",
        ),
    ),
    (
        r"Resource temporarily unavailable",
        _any,
        Cause(
            "The user that runs kernels has as many processes as it may have.",
            "Raise the limit of processes (ulimit -u, systemd: TasksMax= and LimitNPROC=).",
        ),
    ),
    (
        r"Can't mount proc on",
        _any,
        Cause(
            "No fresh /proc can be mounted, because parts of this one are masked, as container "
            "engines do it. Without one the processes outside would be seen.",
            CONTAINER_HINT,
        ),
    ),
    (
        r"loopback: Failed|setting up uid map: Permission denied|[Nn]amespace|Failed to make / ",
        lambda machine: machine.apparmor_restricts == 1,
        Cause(
            "AppArmor keeps bwrap from using the user namespace it makes (Ubuntu 23.10 and later).",
            APPARMOR_HINT,
        ),
    ),
    (
        r"No permissions to creat|new namespace failed",
        lambda machine: machine.unprivileged_userns_clone == 0,
        Cause(
            "Users without rights may not make namespaces: kernel.unprivileged_userns_clone is 0.",
            "echo kernel.unprivileged_userns_clone=1 | sudo tee /etc/sysctl.d/90-userns.conf && "
            "sudo sysctl --system",
        ),
    ),
    (
        r"kernel does not support user namespaces",
        _any,
        Cause(
            "This Linux was built without user namespaces.",
            "Use a kernel with CONFIG_USER_NS, or set sandbox.provider to landlock, which protects "
            "less.",
        ),
    ),
    (
        r"No permissions to creat|new namespace failed|Failed to make / |Failed to mount tmpfs",
        lambda machine: machine.is_container,
        Cause("The container this runs in may not make namespaces.", CONTAINER_HINT),
    ),
    (
        r"No permissions to creat|new namespace failed: Operation not permitted",
        _any,
        Cause(
            "Making namespaces is refused, by a system call filter or a security module.",
            "Where this is a container: " + CONTAINER_HINT,
        ),
    ),
    (
        r"setting up (uid|gid) map|error writing to (uid|gid)_map",
        _any,
        Cause(
            "The user namespace is made, but users cannot be mapped in it: a security module, or "
            "a container whose own map lacks the user.",
            "As root: set sandbox.uid to a number that /proc/self/uid_map covers.",
        ),
    ),
    (
        r"setres[ug]id|os\.setgroups|\[Errno 22\]|Operation not permitted: 'set",
        _any,
        Cause(
            "The service is root but may not become another user, and kernels never run as root.",
            "Run localassist as an ordinary user, or give its container CAP_SETUID and CAP_SETGID.",
        ),
    ),
    (
        r"Can't (find source path|get type of source|open) .*Permission denied",
        _any,
        Cause(
            "The user that kernels run as cannot reach a folder they need, and root may not make a "
            "namespace of mounts here to put it elsewhere.",
            "Give the container CAP_SYS_ADMIN, or put data and environment where everybody may "
            "enter (chmod o+x on the folders above).",
        ),
    ),
    (
        r"prctl\(PR_SET_SECCOMP\)",
        _any,
        Cause("This Linux has no system call filters (CONFIG_SECCOMP_FILTER)."),
    ),
    (
        r"max_user_namespaces|new user namespaces was not disabled",
        _any,
        Cause(
            "Further user namespaces cannot be forbidden inside, because /proc/sys is read-only.",
            CONTAINER_HINT,
        ),
    ),
    (
        r"Can't find source path /usr|execvp .*No such file",
        _any,
        Cause("Programs are not below /usr on this system (NixOS, Guix), which is not supported."),
    ),
)


def _last_line(said: str) -> str:
    lines = said.strip().splitlines()
    return lines[-1].strip() if lines else ""


def _distribution(os_release: str) -> tuple[str, ...]:
    found = dict(line.split("=", 1) for line in os_release.splitlines() if "=" in line)
    names = f"{found.get('ID', '')} {found.get('ID_LIKE', '')}"
    return tuple(names.replace('"', "").replace("'", "").split())


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text()
    except OSError:
        return None


def _number(path: str) -> int | None:
    text = _text(path)
    return int(text) if text is not None and text.strip().isdigit() else None
