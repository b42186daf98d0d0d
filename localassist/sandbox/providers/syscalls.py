"""Numbers of system calls, as ``asm/unistd_64.h`` (x86-64) and ``asm-generic/unistd.h`` (aarch64)
of Linux give them. From 424 on, all architectures share one numbering."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Architecture:
    """``audit`` is the kernel's AUDIT_ARCH value; calls above ``last`` and below 424 do not
    exist."""

    audit: int
    column: int
    last: int


# ``platform.machine()`` → architecture. ``last`` is rseq.
ARCHITECTURES = {
    "x86_64": Architecture(0xC000003E, 0, 334),
    "aarch64": Architecture(0xC00000B7, 1, 293),
}

# Refused whatever their arguments: (x86-64, aarch64), None where the call does not exist.
REFUSED: dict[str, tuple[int | None, int | None]] = {
    # Mounts and namespaces.
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    # Other processes' memory.
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    # Large attack surface in the kernel.
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42),
    "uselib": (134, None),
    "ustat": (136, None),
    "sysfs": (139, None),
    "_sysctl": (156, None),
    "modify_ldt": (154, None),
    "vhangup": (153, 58),
    # The machine.
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "create_module": (174, None),
    "get_kernel_syms": (177, None),
    "query_module": (178, None),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "syslog": (103, 116),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
    "sync": (162, 81),
    # Files that are reached around their path, devices, watches on files of the host.
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    # A user of the host has 128 of these in all, the system 65,536 of those.
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "io_setup": (206, 0),
    # Memory that belongs to no process and that no limit sees.
    "memfd_create": (319, 279),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    # Descriptors on their way through a socket: files that no process holds and nobody can count.
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
    # Placement of memory.
    "mbind": (237, 235),
    "set_mempolicy": (238, 237),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
}

# Looked at by their arguments.
SOCKET = (41, 198)
SOCKETPAIR = (53, 199)
CLONE = (56, 220)
IOCTL = (16, 29)
FCNTL = (72, 25)
PERSONALITY = (135, 92)

# Which argument is the mode of a file, and which the flags of open, where the mode counts only with
# some of them.
MODES: dict[str, tuple[int | None, int | None, int, int | None]] = {
    "chmod": (90, None, 1, None),
    "fchmod": (91, 52, 1, None),
    "fchmodat": (268, 53, 2, None),
    "fchmodat2": (452, 452, 2, None),
    "creat": (85, None, 1, None),
    "open": (2, None, 2, 1),
    "openat": (257, 56, 3, 2),
}

# Of the shared numbers, those that programs need; all others are answered as by a kernel too old to
# know them: clone3, io_uring, openat2, the new mount calls, pidfd_getfd, and what is yet to come.
ALLOWED_NEW = {
    424: "pidfd_send_signal",
    434: "pidfd_open",
    436: "close_range",
    439: "faccessat2",
    441: "epoll_pwait2",
    444: "landlock_create_ruleset",
    445: "landlock_add_rule",
    446: "landlock_restrict_self",
    449: "futex_waitv",
    451: "cachestat",
    454: "futex_wake",
    455: "futex_wait",
    456: "futex_requeue",
}
