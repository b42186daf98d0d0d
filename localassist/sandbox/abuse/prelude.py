"""Runs first in a kernel that is abused, sent as text and never imported: how code says what came
of an attack, and calls into the operating system that Python does not offer.

``BAIT`` is set before it: what stands on the host to be reached, by name.
"""

import ctypes
import os
import pickle
import platform
import signal
import socket  # noqa: F401 - from here on, what cases use
import stat  # noqa: F401
import sys  # noqa: F401
import threading  # noqa: F401
import time  # noqa: F401
from collections.abc import Callable
from typing import Any

BAIT: dict[str, Any]


def say(verdict: str, detail: object) -> None:
    text = str(detail).encode("ascii", "backslashreplace").decode()
    print(f"abuse:{verdict}:{' '.join(text.split())[:200]}", flush=True)


def attempt(*actions: Callable[[], object]) -> None:
    """Reached if an action comes back with something; what the system refuses is stopped."""
    for action in actions:
        try:
            found = action()
        except (OSError, MemoryError) as error:
            say("stopped", f"{type(error).__name__}: {error}")
        else:
            say("reached" if found else "stopped", found or "nothing there")


def in_child(action: Callable[[], object]) -> object:
    """What the action says in a forked process, which a filter may kill."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        try:
            answer: object = action()
        except OSError as error:
            answer = error
        os.write(writable, pickle.dumps(answer))
        os._exit(0)
    os.close(writable)
    with open(readable, "rb") as stream:
        sent = stream.read()
    status = os.waitpid(child, 0)[1]
    if not sent:
        raise ChildProcessError(f"killed by signal {os.WTERMSIG(status)}")
    answer = pickle.loads(sent)
    if isinstance(answer, OSError):
        raise answer
    return answer


libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

# name: (x86-64, aarch64); from 424 on the numbers are the same everywhere
CALLS: dict[str, tuple[int, int]] = {
    "add_key": (248, 217),
    "bpf": (321, 280),
    "clone3": (435, 435),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsopen": (430, 430),
    "init_module": (175, 105),
    "inotify_init1": (294, 26),
    "io_uring_setup": (425, 425),
    "kcmp": (312, 272),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "modify_ldt": (154, 0),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "msgget": (68, 186),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "openat2": (437, 437),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434),
    "pivot_root": (155, 41),
    "process_mrelease": (448, 448),
    "process_vm_readv": (310, 270),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "request_key": (249, 218),
    "semget": (64, 190),
    "setns": (308, 268),
    "shmget": (29, 194),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}


def syscall(name: str, *arguments: Any) -> int:
    """The call's result. Raises OSError as the functions of ``os`` do."""
    number = CALLS[name][platform.machine() == "aarch64"]
    passed = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result: int = libc.syscall(ctypes.c_long(number), *passed)
    if result == -1:
        failure = ctypes.get_errno()
        raise OSError(failure, f"{name}: {os.strerror(failure)}")
    return result


REFUSALS = {1, 13, 38, 93, 97}  # EPERM EACCES ENOSYS EPROTONOSUPPORT EAFNOSUPPORT


def knock(name: str, *arguments: Any) -> object:
    """Whether a call can be made at all: arguments that the kernel finds fault with are enough to
    see that it has looked at them, and harm nothing."""
    try:
        return f"{name} gave {syscall(name, *arguments)}"
    except OSError as error:
        if error.errno in REFUSALS:
            raise
        return f"{name} was looked at: {error}"


def finds(path: str, text: str) -> object:
    """Whether a file holds the text that lies on the host as bait."""
    with open(path, "rb") as stream:
        return f"{path} was read" if text.encode() in stream.read(1 << 20) else None
