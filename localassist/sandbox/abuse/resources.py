"""More than a fair share of the machine. Every attempt is bounded: what it takes when nothing
stops it does no harm to an ordinary machine."""

from __future__ import annotations

import os

from localassist.sandbox.abuse.case import Ablation, Case, Finding, raised, without
from localassist.sandbox.abuse.scene import Scene, said

WATCHDOG = "watchdog"
SHORT = {"cell_seconds": 1.0}
PATIENT = raised(cell_seconds=60.0)
LONG = "end = time.monotonic() + 8\n"
"""Longer than the limit, the time to end by itself, and then some."""
CAME_TO_ITS_END = "say('reached', 'went on to its end')\n"

HOARD = """
def hoard(megabytes):
    kept = []
    for _ in range(megabytes // 20):
        kept.append(bytearray(os.urandom(1 << 10)) * (20 << 10))
        time.sleep(0.01)
    time.sleep(1)
    return f'held {megabytes} MB'
"""


async def _ended_in_time(scene: Scene) -> Finding:
    """The kernel lives on, with its variables, where the code let itself be interrupted."""
    await scene.cell("kept = 41")
    cell = await scene.cell()
    finding = said(cell)
    if finding.succeeded:
        return finding
    if cell.ended.status == "timed_out":
        after = await scene.cell("print(kept + 1)")
        if "42" not in after.text:
            return Finding(True, "the variables are lost though the code was interrupted")
    return Finding(False, cell.summary)


async def _loop_is_killed(scene: Scene) -> Finding:
    """Code that does not let itself be interrupted is killed, kernel and all."""
    finding = await _ended_in_time(scene)
    if not finding.succeeded and scene.room.kernel.is_alive():
        return Finding(True, "the kernel was left with code in it that goes on")
    return finding


async def _no_core_is_left(scene: Scene) -> Finding:
    """A crash must leave no image of the memory behind."""
    cell = await scene.cell()
    cores = [entry.name for entry in os.scandir(scene.data) if "core" in entry.name]
    if cores:
        return Finding(True, f"left {cores[0]}")
    return Finding(False, cell.summary)


async def _core_is_left(scene: Scene) -> Finding:
    """Where this machine's crashes leave files at all."""
    with open("/proc/sys/kernel/core_pattern", encoding="utf-8") as stream:  # noqa: ASYNC230
        pattern = stream.read().strip()
    if pattern.startswith(("|", "/")):
        return Finding(None, f"crashes on this machine go to {pattern}")
    return await _no_core_is_left(scene)


CASES: tuple[Case, ...] = (
    Case(
        "memory-one-process",
        "take 900 MB in one process",
        "rlimit-memory",
        HOARD + "attempt(lambda: hoard(900))",
        ablation=raised(memory_mb=2048),
        spoils=True,
    ),
    Case(
        "memory-many-processes",
        "take 900 MB in six processes",
        WATCHDOG,
        HOARD
        + """
children = []
for _ in range(6):
    child = os.fork()
    if child == 0:
        try:
            hoard(150)
            os._exit(0)
        finally:
            os._exit(1)
    children.append(child)
ended = [os.waitpid(child, 0)[1] for child in children]
say('stopped' if any(ended) else 'reached', f'processes ended with {ended}')
""",
        ablation=raised(memory_mb=2048),
        spoils=True,
    ),
    Case(
        "page-tables",
        "hold 240 MB in page tables, with no memory behind them",
        WATCHDOG,
        """
        def map_nothing():
            libc.mmap.restype = ctypes.c_void_p
            size = ctypes.c_size_t(3 << 30)
            start = libc.mmap(None, size, 1, 0x4022, -1, 0)
            libc.madvise(ctypes.c_void_p(start), size, 15)  # no huge pages
            for at in range(start, start + (3 << 30), 2 << 20):
                ctypes.c_ubyte.from_address(at).value
        # All hold at once, however long a busy machine takes to let each begin.
        ready, is_ready = os.pipe()
        over, is_over = os.pipe()
        children = []
        for _ in range(40):
            child = os.fork()
            if child == 0:
                os.close(is_over)
                map_nothing()
                os.write(is_ready, b'.')
                os.read(over, 1)
                os._exit(0)
            children.append(child)
        os.close(is_ready)
        for _ in children:
            os.read(ready, 1)
        time.sleep(8)
        os.close(is_over)
        ended = [os.waitpid(child, 0)[1] for child in children]
        say('stopped' if any(ended) else 'reached', f'processes ended with {ended}')
        """,
        limits={"memory_mb": 300},
        ablation=raised(memory_mb=4096),
        spoils=True,
    ),
    Case(
        "fork-bomb",
        "start 300 processes",
        "rlimit-nproc",
        """
        children = []
        def fork():
            while len(children) < 300:
                child = os.fork()
                if child == 0:
                    time.sleep(20)
                    os._exit(0)
                children.append(child)
            return f'{len(children)} processes'
        try:
            attempt(fork)
        finally:
            for child in children:
                os.kill(child, signal.SIGKILL)
            for child in children:
                os.waitpid(child, 0)
        """,
        ablation=raised(processes=400),
        spoils=True,
    ),
    Case(
        "thread-bomb",
        "start 300 threads",
        "rlimit-nproc",
        """
        threading.stack_size(1 << 16)
        end = threading.Event()
        threads = []
        def start():
            try:
                while len(threads) < 300:
                    thread = threading.Thread(target=end.wait, daemon=True)
                    thread.start()
                    threads.append(thread)
            except RuntimeError as error:
                raise OSError(f'{error} after {len(threads)}')
            return f'{len(threads)} threads'
        try:
            attempt(start)
        finally:
            end.set()
            for thread in threads:
                thread.join()
        """,
        ablation=raised(processes=400),
        spoils=True,
    ),
    Case(
        "temporary-folders",
        "write 600 MB to /tmp, /dev/shm and the home folder, which is memory",
        "sized-tmp",
        """
        def fill(folder):
            try:
                for number in range(60):
                    with open(f'{folder}/abuse{number}', 'wb') as stream:
                        stream.write(bytes(10 << 20))
                return f'600 MB in {folder}'
            finally:
                for name in os.listdir(folder):
                    if name.startswith('abuse'):
                        os.unlink(f'{folder}/{name}')
        attempt(*[lambda at=at: fill(at) for at in ('/tmp', '/dev/shm', os.environ['HOME'])])
        """,
        # Beyond their size the watchdog would see them.
        ablation=Ablation(frozenset({"sized-tmp"}), {"memory_mb": 4096}),
    ),
    Case(
        "buffers-of-sockets",
        "hold 900 MB in the buffers of socket pairs and pipes, which are no process's memory",
        WATCHDOG,
        """
        def fill(readable, writable):
            held = 0
            try:
                while True:
                    held += os.write(writable, bytes(1 << 16))
            except BlockingIOError:
                return held
        def hoard(megabytes):
            held = 0
            kept = []
            try:
                while held < megabytes << 20:
                    pair = socket.socketpair()
                    for one in pair:
                        one.setblocking(False)
                        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
                        held += fill(one.fileno(), one.fileno())
                    kept.append(pair)
            except OSError:
                pass
            return held, kept
        results, end = os.pipe()
        children = []
        for _ in range(10):
            child = os.fork()
            if child == 0:
                held, kept = hoard(90)
                os.write(end, b'%d\\n' % held)
                time.sleep(3)
                os._exit(0)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)
        os.close(end)
        held = sum(map(int, os.read(results, 1 << 16).split())) >> 20
        say('reached' if held >= 800 else 'stopped', f'{held} MB')
        """,
        ablation=raised(memory_mb=16_384),
        spoils=True,
    ),
    Case(
        "empty-temporary-files",
        "make 300,000 empty files in /tmp, which are memory of the operating system",
        WATCHDOG,
        """
        def fill():
            for number in range(300_000):
                os.close(os.open(f'/tmp/empty{number}', os.O_CREAT | os.O_WRONLY))
            return '300,000 files'
        attempt(fill)
        """,
        limits={"memory_mb": 256},
        ablation=raised(memory_mb=2048),
        spoils=True,
    ),
    Case(
        "anonymous-files",
        "hold memory in a file without a name (memfd)",
        "seccomp",
        "attempt(lambda: os.memfd_create('abuse') and 'made')",
        ablation=without("seccomp"),
    ),
    Case(
        "system-v-memory",
        "hold memory in shared segments that no limit counts",
        "seccomp",
        """
        attempt(lambda: knock('shmget', 0, 1 << 20, 0o1600), lambda: knock('msgget', 0, 0o1600),
                lambda: knock('semget', 0, 1, 0o1600))
        """,
        ablation=without("seccomp"),
    ),
    Case(
        "inotify",
        "take all file watches of the user",
        "seccomp",
        "attempt(lambda: knock('inotify_init1', 0) and 'made')",
        ablation=without("seccomp"),
    ),
    Case(
        "descriptors",
        "open 800 files at once",
        "rlimit-nofile",
        """
        opened = []
        def fill():
            while len(opened) < 800:
                opened.append(os.open('/dev/null', os.O_RDONLY))
            return f'{len(opened)} descriptors'
        try:
            attempt(fill)
        finally:
            for number in opened:
                os.close(number)
        """,
        ablation=without("rlimit-nofile"),
    ),
    Case(
        "raised-limits",
        "raise the limits that were set, and rise in priority",
        "capabilities",
        """
        import resource
        names = ('RLIMIT_AS', 'RLIMIT_NPROC', 'RLIMIT_FSIZE', 'RLIMIT_NOFILE', 'RLIMIT_CORE')
        def lift(name):
            try:
                resource.setrlimit(getattr(resource, name), (resource.RLIM_INFINITY,) * 2)
            except ValueError as error:
                raise OSError(str(error))
            return f'{name} was lifted'
        def adjust():
            with open('/proc/self/oom_score_adj', 'w') as stream:
                return stream.write('-500')
        attempt(*[lambda name=name: lift(name) for name in names], adjust,
                lambda: os.nice(-5) < 0 and 'priority')
        """,
    ),
    Case(
        "endless-loop",
        "go on after the time is up",
        "time limit",
        LONG + "while time.monotonic() < end: pass\n" + CAME_TO_ITS_END,
        judge=_ended_in_time,
        limits=SHORT,
        ablation=PATIENT,
    ),
    Case(
        "endless-sleep",
        "wait when the time is up",
        "time limit",
        "time.sleep(8)\n" + CAME_TO_ITS_END,
        judge=_ended_in_time,
        limits=SHORT,
        ablation=PATIENT,
    ),
    Case(
        "ignored-interrupt",
        "go on with the interrupt switched off",
        "time limit",
        LONG
        + "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        + "while time.monotonic() < end: pass\n"
        + CAME_TO_ITS_END,
        judge=_loop_is_killed,
        limits=SHORT,
        ablation=PATIENT,
        spoils=True,
    ),
    Case(
        "caught-interrupt",
        "go on and catch every exception",
        "time limit",
        LONG
        + """
while time.monotonic() < end:
    try:
        while time.monotonic() < end: pass
    except BaseException: pass
"""
        + CAME_TO_ITS_END,
        judge=_ended_in_time,
        limits=SHORT,
        ablation=PATIENT,
        spoils=True,
    ),
    Case(
        "loop-in-c",
        "go on inside a library, where no interrupt is looked at",
        "time limit",
        "import itertools; sum(itertools.repeat(0))",
        judge=_loop_is_killed,
        limits=SHORT,
        spoils=True,
    ),
    Case(
        "core-dump",
        "crash and leave the memory behind as a file",
        "rlimit-core",
        """
        import resource
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
        ctypes.string_at(0)
        """,
        judge=_no_core_is_left,
        ablation=Ablation(frozenset({"rlimit-core"}), judge=_core_is_left),
        spoils=True,
    ),
)
