"""What bwrap is told, as a pure function of a box and of how this machine is laid out.

bwrap carries its arguments out in their order: a later mount lies over an earlier one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from localassist.sandbox.providers.base import Box
from localassist.sandbox.providers.startup import DATA, GUEST, HOME, MB, environment

# Inside, kernels are always this user; outside they are ``Provider.owner_uid``.
USER = "1000"

ETC = {
    "passwd": f"sandbox:x:{USER}:{USER}::{HOME}:/usr/sbin/nologin\n"
    "nobody:x:65534:65534::/:/usr/sbin/nologin\n",
    "group": f"sandbox:x:{USER}:\nnogroup:x:65534:\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "hosts": "127.0.0.1 localhost\n",
    "hostname": "sandbox\n",
    "resolv.conf": "",
}
# Of the machine's own /etc: what programs need to start and to draw text.
ETC_OF_HOST = ("ld.so.cache", "alternatives", "fonts")

# What these tell about the machine, or do to it, is nobody's business inside.
PROC_FILES = (
    "cmdline config.gz kallsyms kcore key-users keys kmsg kpagecgroup kpagecount kpageflags "
    "modules sched_debug slabinfo sysrq-trigger timer_list version vmallocinfo"
).split()
PROC_FOLDERS = "acpi asound bus driver fs irq scsi tty".split()

# What is let in where "private-root" is left out: enough to see that it stands in the way.
MACHINE = ("/tmp", "/var", "/sys")

SHM_MB = 64
TMP_MB = 64
HOME_MB = 16

PROTECTIONS = {
    "seccomp": "System calls that kernels do not need are refused.",
    "private-root": "Of the machine's folders nothing is seen but programs.",
    "no-new-namespaces": "No user namespace can be made inside, and with it no rights in one.",
    "pid-namespace": "Processes of the machine and of other kernels are not seen.",
    "network-namespace": "There is no network interface, not even a loop-back that is up.",
    "ipc-namespace": "Shared memory and message queues of the machine are not seen.",
    "uts-namespace": "The machine's name is not seen.",
    "cgroup-namespace": "The place in the machine's control groups is not seen.",
    "capabilities": "The kernel holds no capability, even over its own namespaces.",
    "new-session": "The service's terminal cannot be reached.",
    "die-with-parent": "All processes end with the service.",
    "clean-environment": "None of the service's environment variables come in.",
    "synthetic-etc": "Names of users and machines come from files made up for the kernel.",
    "proc-masks": "Files of /proc about the machine cannot be read.",
    "read-only-root": "Nothing but /mnt/data, /tmp and the home folder can be written.",
    "sized-tmp": "/tmp, /dev/shm and the home folder hold a few megabytes each.",
    "unprivileged-uid": "A service that is root starts kernels as another user.",
    "module-path": "Files in /mnt/data do not take the place of installed modules.",
    "oom-score": "When memory runs out the system ends a kernel first.",
    "rlimit-memory": "Private memory of a process: MemoryError at the limit.",
    "rlimit-as": "Address space of a process.",
    "rlimit-nproc": "Processes and threads of a kernel.",
    "rlimit-fsize": "The size of one file.",
    "rlimit-core": "No dumps of memory.",
    "rlimit-nofile": "Open files of a process.",
    "rlimit-memlock": "Memory of a process that cannot be swapped out.",
    "rlimit-msgqueue": "Memory of message queues.",
    "rlimit-sigpending": "Signals and timers that wait.",
    "rlimit-cpu": "Processor time of a process, in all.",
}

# Flags at the beginning, each with the protection it stands for; None: without it nothing works.
NAMESPACES: tuple[tuple[str | None, tuple[str, ...]], ...] = (
    (None, ("--unshare-user",)),
    ("pid-namespace", ("--unshare-pid",)),
    ("network-namespace", ("--unshare-net",)),
    ("ipc-namespace", ("--unshare-ipc",)),
    ("uts-namespace", ("--unshare-uts", "--hostname", "sandbox")),
    ("cgroup-namespace", ("--unshare-cgroup",)),
    ("no-new-namespaces", ("--disable-userns",)),
    (None, ("--uid", USER, "--gid", USER)),
    ("die-with-parent", ("--die-with-parent",)),
    ("new-session", ("--new-session",)),
    ("capabilities", ("--cap-drop", "ALL")),
    ("clean-environment", ("--clearenv",)),
)


@dataclass(frozen=True, slots=True)
class Layout:
    """``links``: the symbolic links of / that lead into /usr, and what they say; ``folders``: those
    of the same names that are folders. ``proc`` and ``etc`` are names in those folders."""

    links: Mapping[str, str]
    folders: tuple[str, ...]
    proc: frozenset[str]
    etc: frozenset[str]

    @classmethod
    def of_this_machine(cls) -> Layout:
        links, folders = {}, []
        for path in map(Path, ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")):
            if path.is_symlink():
                links[str(path)] = os.readlink(path)
            elif path.is_dir():
                folders.append(str(path))
        proc = frozenset(
            name for name in (*PROC_FILES, *PROC_FOLDERS) if Path("/proc", name).exists()
        )
        etc = frozenset(name for name in ETC_OF_HOST if Path("/etc", name).exists())
        return cls(links, tuple(folders), proc, etc)


def arguments(
    box: Box,
    layout: Layout,
    *,
    files: Mapping[str, bytes],
    source: Callable[[Path], str],
    data_descriptor: Callable[[bytes], int],
    info_descriptor: int,
    seccomp: bytes,
) -> list[str]:
    """Everything between ``bwrap`` and the command. ``files`` are those in ``GUEST``, by name;
    ``source`` gives the place of a path as whoever runs bwrap sees it; ``data_descriptor`` puts
    bytes where bwrap can read them."""
    held = box.without

    def bytes_at(path: str, content: bytes) -> list[str]:
        return ["--perms", "0444", "--ro-bind-data", str(data_descriptor(content)), path]

    result = [flag for protection, flags in NAMESPACES if protection not in held for flag in flags]
    result += ["--info-fd", str(info_descriptor)]
    result += _system(layout)
    result += _etc(layout, bytes_at, is_synthetic="synthetic-etc" not in held)
    result += _proc(layout, box)
    result += _temporary(is_sized="sized-tmp" not in held)
    if "private-root" in held:
        for shown in filter(os.path.isdir, MACHINE):
            result += ["--bind", source(Path(shown)), shown]
    # After /tmp: an environment may lie below it.
    for path in (box.environment, box.python_base):
        if not is_system(path):
            result += ["--ro-bind", source(path), str(path)]
    result += ["--bind", source(box.data), DATA]
    for name, content in files.items():
        result += bytes_at(f"{GUEST}/{name}", content)
    if "read-only-root" not in held:
        result += ["--remount-ro", "/"]
    if "seccomp" not in held:
        result += ["--seccomp", str(data_descriptor(seccomp))]
    for name, value in environment(box).items():
        result += ["--setenv", name, value]
    return [*result, "--chdir", DATA]


def is_system(path: Path) -> bool:
    """Below /usr, which is there anyway. / is the prefix of an interpreter in /bin."""
    return path == Path("/") or path.is_relative_to("/usr")


def _system(layout: Layout) -> list[str]:
    result = ["--ro-bind", "/usr", "/usr"]
    for path, target in layout.links.items():
        result += ["--symlink", target, path]
    for path in layout.folders:
        result += ["--ro-bind", path, path]
    return result


def _etc(
    layout: Layout, bytes_at: Callable[[str, bytes], list[str]], *, is_synthetic: bool
) -> list[str]:
    if not is_synthetic:
        return ["--ro-bind", "/etc", "/etc"]
    result = ["--perms", "0755", "--dir", "/etc"]
    for name in sorted(layout.etc):
        result += ["--ro-bind", f"/etc/{name}", f"/etc/{name}"]
    for name, text in ETC.items():
        result += bytes_at(f"/etc/{name}", text.encode())
    return result


def _proc(layout: Layout, box: Box) -> list[str]:
    # A new /proc can only be mounted over a new namespace of processes.
    fresh = "pid-namespace" not in box.without
    result = ["--proc", "/proc"] if fresh else ["--bind", "/proc", "/proc"]
    if "proc-masks" in box.without:
        return result
    for name in PROC_FILES:
        if name in layout.proc:
            result += ["--ro-bind", "/dev/null", f"/proc/{name}"]
    for name in PROC_FOLDERS:
        if name in layout.proc:
            path = f"/proc/{name}"
            result += ["--size", "4096", "--perms", "0555", "--tmpfs", path, "--remount-ro", path]
    return result


def _temporary(*, is_sized: bool) -> list[str]:
    def tmpfs(path: str, mode: str, size_mb: int) -> list[str]:
        size = ["--size", str(size_mb * MB)] if is_sized else []
        return [*size, "--perms", mode, "--tmpfs", path]

    return [
        *("--dev", "/dev"),
        *tmpfs("/dev/shm", "1777", SHM_MB),
        *("--remount-ro", "/dev"),
        *tmpfs("/tmp", "1777", TMP_MB),
        *tmpfs(HOME, "0700", HOME_MB),
    ]
