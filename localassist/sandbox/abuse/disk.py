"""More of the host's disk than was given, above all out of sight of whoever counts it. Every
attempt is bounded."""

from __future__ import annotations

from localassist.sandbox.abuse.case import Case, Finding, raised, without
from localassist.sandbox.abuse.scene import Scene, said

WATCHDOG = "watchdog"

FILL = """
def fill(folder, keep):
    for number in range(30):
        stream = open(f'{folder}/part{number}', 'wb+', buffering=0)
        stream.write(bytes(5 << 20))
        keep(stream)
        time.sleep(0.05)
    time.sleep(1)
    return 'holds 150 MB'
"""


async def _deep_below(scene: Scene) -> Finding:
    """That one piece of code was reported does not keep the next one from being reported."""
    await scene.cell(
        "os.chdir('/mnt/data')\n"
        "for _ in range(80):\n    os.mkdir('deep'); os.chdir('deep')\n"
        "time.sleep(3)\n"
    )
    return said(await scene.cell())


async def _disk_is_kept(scene: Scene) -> Finding:
    """What lies in the data folder when all is over, by what it takes on the host's disk."""
    cell = await scene.cell()
    finding = said(cell)
    taken = sum(path.lstat().st_blocks * 512 for path in scene.data.rglob("*")) >> 20
    return Finding(finding.succeeded, f"{finding.detail}, {taken} MB on disk")


CASES: tuple[Case, ...] = (
    Case(
        "disk-one-file",
        "write 150 MB into one file",
        "rlimit-fsize",
        """
        def fill():
            with open('/mnt/data/big', 'wb', buffering=0) as stream:
                for _ in range(150):
                    stream.write(bytes(1 << 20))
                    time.sleep(0.01)
            return 'wrote 150 MB'
        attempt(fill)
        """,
        judge=_disk_is_kept,
        ablation=raised(disk_mb=300),
    ),
    Case(
        "disk-many-files",
        "write 150 MB into 30 files",
        WATCHDOG,
        """
        def fill():
            for number in range(30):
                with open(f'/mnt/data/part{number}', 'wb') as stream:
                    stream.write(bytes(5 << 20))
                time.sleep(0.05)
            return 'wrote 150 MB'
        attempt(fill)
        """,
        judge=_disk_is_kept,
        ablation=raised(disk_mb=300),
    ),
    Case(
        "disk-deleted-file",
        "write 150 MB into files that are deleted and kept open",
        WATCHDOG,
        """
        def fill():
            kept = []
            for number in range(30):
                stream = open('/mnt/data/unnamed', 'wb', buffering=0)
                os.unlink('/mnt/data/unnamed')
                stream.write(bytes(5 << 20))
                kept.append(stream)
                time.sleep(0.05)
            time.sleep(0.5)
            return 'holds 150 MB in files without a name'
        attempt(fill)
        """,
        ablation=raised(disk_mb=300),
        spoils=True,
    ),
    Case(
        "disk-mapped-file",
        "write 150 MB into files that are deleted, closed and only mapped into memory",
        WATCHDOG,
        FILL
        + """
def keep(stream):
    os.unlink(stream.name)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap(None, 4096, 1, 1, stream.fileno(), 0)
    stream.close()
attempt(lambda: fill('/mnt/data', keep))
""",
        spoils=True,
    ),
    Case(
        "disk-file-under-way",
        "write 150 MB into deleted files whose descriptors wait in a socket",
        "seccomp",
        FILL
        + """
ours, theirs = socket.socketpair()
def keep(stream):
    os.unlink(stream.name)
    socket.send_fds(ours, [b'x'], [stream.fileno()])
    stream.close()
attempt(lambda: fill('/mnt/data', keep))
""",
        ablation=without("seccomp"),
        spoils=True,
    ),
    Case(
        "disk-behind-descriptors",
        "write 150 MB into deleted files, behind more open files than can be counted",
        WATCHDOG,
        FILL
        + """
children = []
for _ in range(10):
    child = os.fork()
    if child == 0:
        try:
            while True: os.open('/dev/null', os.O_RDONLY)
        except OSError:
            time.sleep(20)
        os._exit(0)
    children.append(child)
kept = []
def keep(stream):
    os.unlink(stream.name)
    kept.append(stream)
try:
    attempt(lambda: fill('/mnt/data', keep))
finally:
    for child in children:
        os.kill(child, signal.SIGKILL)
""",
        spoils=True,
    ),
    Case(
        "disk-hidden-process",
        "write 150 MB into deleted files, as a process that may not be looked at",
        WATCHDOG,
        FILL
        + """
libc.prctl(4, 0, 0, 0, 0)
kept = []
def keep(stream):
    os.unlink(stream.name)
    kept.append(stream)
attempt(lambda: fill('/mnt/data', keep))
""",
        spoils=True,
    ),
    Case(
        "disk-closed-folder",
        "write 150 MB into a folder that its owner may not read",
        WATCHDOG,
        FILL
        + """
os.mkdir('/mnt/data/closed')
os.chmod('/mnt/data/closed', 0o300)
attempt(lambda: fill('/mnt/data/closed', lambda stream: stream.close()))
""",
        ablation=raised(disk_mb=300),
        spoils=True,
    ),
    Case(
        "disk-deep-folder",
        "write 150 MB below folders nested too deeply to be looked at, in a second piece of code",
        WATCHDOG,
        FILL + "attempt(lambda: fill('.', lambda stream: stream.close()))",
        judge=_deep_below,
        spoils=True,
    ),
    Case(
        "inodes",
        "make 20,000 files",
        WATCHDOG,
        """
        def fill():
            for number in range(20_000):
                open(f'/mnt/data/f{number}', 'w').close()
                if number % 1000 == 999:
                    time.sleep(0.02)
            time.sleep(0.5)
            return '20,000 files'
        attempt(fill)
        """,
        ablation=raised(files=40_000),
    ),
    Case(
        "sparse-file",
        "make a file of 1 TB that takes no room",
        "rlimit-fsize",
        """
        def make():
            with open('/mnt/data/sparse', 'wb') as stream:
                stream.truncate(1 << 40)
            return 'made 1 TB'
        attempt(make)
        """,
        ablation=without("rlimit-fsize"),
    ),
)
