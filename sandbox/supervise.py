"""Keeps a kernel and everything that it starts together, and ends all of it at once.

For isolation without a process 1 of its own making: in a container it *is* process 1, under
Landlock it takes in orphans as a subreaper. Over one socket it is handed what to start and the
descriptors that go with it. The socket stays open: when its other end is gone, because the service
closed it or was killed, everything here is killed. The kernel is confined, the supervisor is not.

    python -I -S supervise.py SOCKET      the path of a listening socket, or an inherited descriptor

Only the standard library. What arrives: four bytes of length (with the descriptors), then JSON:
    command      what to run
    environment  its whole environment
    descriptors  the numbers that the descriptors get, in the order they came in; 100 and above
    folder       where it is started
    uid          null, or the user and group that root becomes
    mounts       null, or {"empty": [folder, ...], "binds": [[source, target], ...]}
    landlock     null, or {"ruleset": hex, "rules": [[path, rights], ...]}
    seccomp      filter programs, in hex
"""

import ctypes
import json
import os
import select
import signal
import socket
import struct
import sys
import time

PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 22, 36, 38
SECCOMP_MODE_FILTER = 2
# The same numbers on x86-64 and aarch64.
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
RULE_PATH_BENEATH = 1
FILE_RIGHTS = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15
"""Execute, write, read, truncate, ioctl: what can be granted on something that is no folder."""
CLONE_NEWNS = 0x00020000
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 0x2, 0x4, 0x1000, 0x4000, 0x40000
EMPTY_FOLDER = b"size=64m,mode=0755"
SCRATCH_FOLDER = b"size=64m,mode=1777"
SCRATCH = ("/tmp", "/dev/shm")
KILL_PAUSE_SECONDS = 0.01

libc = ctypes.CDLL(None, use_errno=True)


def checked(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def prctl(option, value=0, pointer=None):
    zero = ctypes.c_ulong(0)
    checked(libc.prctl(option, ctypes.c_ulong(value), pointer, zero, zero))


def syscall(number, *arguments):
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return checked(libc.syscall(ctypes.c_long(number), *wide))


def close_quietly(number):
    try:
        os.close(number)
    except OSError:
        pass  # the listing's own


def connected(where):
    if where.isdecimal():
        connection = socket.socket(fileno=int(where))
        connection.set_inheritable(False)
        for number in map(int, os.listdir("/proc/self/fd")):
            if number not in (0, 1, 2, connection.fileno()):
                close_quietly(number)
        return connection
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(where)
    return connection


def received(connection):
    """The plan, and the descriptors by the numbers they are to have."""
    head, descriptors, _, _ = socket.recv_fds(connection, 4, 32)
    (length,) = struct.unpack("!I", head)
    text = b""
    while len(text) < length:
        text += connection.recv(length - len(text)) or sys.exit("the service went away")
    plan = json.loads(text)
    return plan, dict(zip(plan["descriptors"], descriptors, strict=True))


def see_only(empty, binds):
    """A view of the file system of its own: small empty folders, and what is bound into them."""
    checked(libc.unshare(CLONE_NEWNS))
    checked(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
    # Opened before an empty folder may hide them, and in the namespace they are bound in.
    opened = [(os.open(source, os.O_PATH | os.O_CLOEXEC), target) for source, target in binds]
    for folder in empty:
        size = SCRATCH_FOLDER if folder in SCRATCH else EMPTY_FOLDER
        os.makedirs(folder, exist_ok=True)
        checked(libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", MS_NOSUID | MS_NODEV, size))
    for source, target in opened:
        os.makedirs(target, exist_ok=True)
        place = f"/proc/self/fd/{source}".encode()
        checked(libc.mount(place, os.fsencode(target), None, MS_BIND, None))


def give_up_root(uid):
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def restrict_paths(ruleset, rules):
    attributes = bytes.fromhex(ruleset)
    held = syscall(LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0)
    for path, rights in rules:
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        granted = rights if os.path.isdir(path) else rights & FILE_RIGHTS
        rule = struct.pack("<Qi", granted, place)
        syscall(LANDLOCK_ADD_RULE, held, RULE_PATH_BENEATH, rule, 0)
        os.close(place)
    syscall(LANDLOCK_RESTRICT_SELF, held, 0)
    os.close(held)


def filter_calls(program):
    code = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    whole = Program(len(program) // 8, ctypes.addressof(code))
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(whole))


def become(plan, descriptors, supervisor):
    """Turn this process into the kernel. Never returns."""
    os.setsid()
    os.umask(0o022)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, descriptor in descriptors.items():
        os.dup2(descriptor, number)
    os.closerange(3, min(descriptors, default=3))
    if plan["mounts"]:
        see_only(**plan["mounts"])
    if plan["uid"] is not None:
        give_up_root(plan["uid"])
    # After the change of user, which forgets it; the supervisor may have died before.
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:
        os._exit(1)
    os.chdir(plan["folder"])
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    if plan["landlock"]:
        restrict_paths(**plan["landlock"])
    for program in plan["seccomp"]:
        filter_calls(bytes.fromhex(program))
    os.execve(plan["command"][0], plan["command"], plan["environment"])


def descendants(pid):
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as children:
                found += [int(child) for child in children.read().split()]
    except OSError:
        return found
    return found + [below for child in found for below in descendants(child)]


def end_all():
    """Kill until there is nobody left. Process 1 need not: its end is the end of all."""
    while os.getpid() != 1:
        for pid in descendants(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(KILL_PAUSE_SECONDS)


def supervise(kernel, connection, wake):
    """Bury the dead until the kernel is among them or the service is gone. An exit status."""
    while True:
        ready, _, _ = select.select([connection, wake], [], [])
        if connection in ready and not connection.recv(1):
            return 0
        if wake in ready:
            os.read(wake, 512)
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == kernel:
                    code = os.waitstatus_to_exitcode(status)
                    return code if code >= 0 else 128 - code
                if pid == 0:
                    break
        except ChildProcessError:
            return 1


def main():
    connection = connected(sys.argv[1])
    plan, descriptors = received(connection)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    wake, waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    supervisor = os.getpid()
    kernel = os.fork()
    if kernel == 0:
        try:
            become(plan, descriptors, supervisor)
        except BaseException as error:
            os.write(2, f"the kernel could not be confined: {error}\n".encode())
            os._exit(1)
    for descriptor in descriptors.values():
        os.close(descriptor)
    connection.send(b".")
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    os.kill(supervisor, signal.SIGCHLD)  # the kernel may have died before there was a handler
    try:
        sys.exit(supervise(kernel, connection, wake))
    finally:
        end_all()


main()
