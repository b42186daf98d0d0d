"""Calls into the operating system's kernel that code for numbers and texts never needs, and that
past escapes went through."""

from __future__ import annotations

from localassist.sandbox.abuse.case import Ablation, Case, without

FILTER = "seccomp"
UNFILTERED = without(FILTER)


def _call(name: str, tries: str, *calls: str, ablation: Ablation | None = UNFILTERED) -> Case:
    """A case that makes calls, each an expression that is true when it came through."""
    actions = ",\n        ".join(f"lambda: {call}" for call in calls)
    return Case(name, tries, FILTER, f"attempt({actions})", ablation=ablation)


CASES: tuple[Case, ...] = (
    _call(
        "user-namespaces",
        "make a user namespace, to be root in it",
        "in_child(lambda: syscall('unshare', 0x10000000) or 'unshared')",
        ablation=without(FILTER, "no-new-namespaces"),
    ),
    _call(
        "other-namespaces",
        "make mount, network and pid namespaces",
        "in_child(lambda: syscall('unshare', 0x00020000) or 'unshared')",
        "in_child(lambda: syscall('unshare', 0x40000000) or 'unshared')",
        "in_child(lambda: syscall('unshare', 0x20000000) or 'unshared')",
        ablation=None,
    ),
    _call(
        "clone3",
        "start a process by clone3, whose flags cannot be filtered",
        "knock('clone3', 0, 0)",
    ),
    _call(
        "io-uring", "make calls through io_uring, past the filter", "knock('io_uring_setup', 0, 0)"
    ),
    _call("bpf", "load a program into the kernel", "knock('bpf', 0, 0, 8192)"),
    _call(
        "keyrings",
        "use keyrings, which namespaces do not separate",
        "knock('keyctl', 0, -3, 0)",
        "knock('add_key', 0, 0, 0, 0, -3)",
        "knock('request_key', 0, 0, 0, -3)",
    ),
    _call("userfaultfd", "stop the kernel in the middle of a copy", "knock('userfaultfd', 1)"),
    _call("perf", "open performance counters", "knock('perf_event_open', 0, 0, -1, -1, 0)"),
    _call(
        "mount",
        "mount, unmount or move folders",
        "knock('mount', 0, 0, 1, 0, 0)",
        "knock('umount2', 0, 0xff)",
        "knock('pivot_root', 0, 0)",
    ),
    _call(
        "new-mount-calls",
        "the same by the newer calls",
        "knock('open_tree', -100, b'/mnt/data', 0)",
        "knock('fsopen', b'tmpfs', 0)",
        "knock('move_mount', -1, 0, -1, 0, 0)",
        "knock('mount_setattr', -1, 0, 0, 0, 0)",
    ),
    _call(
        "file-handles",
        "open files by handle, past their folders",
        "knock('name_to_handle_at', -100, b'/usr', 0, 0, 0)",
        "knock('open_by_handle_at', -1, 0, 0)",
    ),
    _call(
        "local-descriptor-table",
        "change segment descriptors",
        "knock('modify_ldt', 0, ctypes.create_string_buffer(64), 64)"
        " if platform.machine() == 'x86_64' else say('absent', 'not on this processor')",
    ),
    _call(
        "personality",
        "switch off the randomisation of addresses",
        "knock('personality', 0x0040000)",
    ),
    _call("ptrace", "trace a process", "in_child(lambda: knock('ptrace', 0, 0, 0, 0))"),
    _call(
        "process-memory",
        "read memory of a process by its pid",
        "knock('process_vm_readv', os.getpid(), 0, 0, 0, 0, 0)",
        "knock('kcmp', 1, 1, 0, 0, 0)",
    ),
    _call(
        "newer-calls",
        "make calls that are younger than the filter's list",
        "knock('openat2', -100, 0, 0, 0)",
        "knock('memfd_secret', 0xff)",
        "knock('process_mrelease', -1, 1)",
    ),
    Case(
        "terminal-input",
        "put characters into a terminal's input, also with high bits in the request",
        FILTER,
        """
        libc.ioctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_char_p)
        null = os.open('/dev/null', os.O_RDWR)
        def push(request):
            if libc.ioctl(null, request, b'x') == -1 and ctypes.get_errno() in REFUSALS:
                raise OSError(ctypes.get_errno(), 'refused')
            return f'{request:#x} reached the device'
        requests = (0x5412, 0x541C, 0x5423, 1 << 32 | 0x5412)
        attempt(*[lambda request=request: push(request) for request in requests])
        os.close(null)
        """,
        ablation=UNFILTERED,
    ),
    Case(
        "foreign-calls",
        "make a call of the 32-bit interface, whose numbers mean something else",
        FILTER,
        """
        import mmap
        def call():
            memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
            memory.write(bytes.fromhex('b814000000cd80c3'))  # mov eax, 20 (getpid); int 0x80; ret
            address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
            return ctypes.CFUNCTYPE(ctypes.c_int)(address)()
        if platform.machine() == 'x86_64':
            attempt(lambda: in_child(call))
        else:
            say('absent', 'not on this processor')
        """,
        ablation=UNFILTERED,
    ),
    Case(
        "x32-calls",
        "make a call of the x32 interface",
        FILTER,
        """
        if platform.machine() == 'x86_64':
            CALLS['getpid of x32'] = (0x40000000 | 39, 0)
            attempt(lambda: syscall('getpid of x32'))
        else:
            say('absent', 'not on this processor')
        """,
    ),
    _call(
        "administration",
        "load modules, set the clock, change quotas, swap, read the log",
        "knock('init_module', 0, 0, 0)",
        "knock('finit_module', -1, 0, 0)",
        "knock('delete_module', 0, 0)",
        "knock('kexec_load', 0, 99, 0, 0)",
        "knock('clock_settime', 0, 0)",
        "knock('quotactl', 0, 0, 0, 0)",
        "knock('swapon', 0, 0)",
        "knock('syslog', 10, 0, 0)",
        "knock('fanotify_init', 0, 0)",
    ),
    Case(
        "capabilities",
        "hold any capability, or be able to gain one",
        "capabilities",
        """
        with open('/proc/self/status') as stream:
            status = dict(line.split(':\\t', 1) for line in stream if ':\\t' in line)
        kinds = ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb')
        attempt(lambda: ' '.join(kind for kind in kinds if int(status[kind], 16)),
                lambda: 'new privileges' if int(status['NoNewPrivs']) != 1 else None,
                lambda: 'user 0' if 0 in (os.getuid(), os.geteuid(), os.getgid()) else None)
        """,
    ),
)
