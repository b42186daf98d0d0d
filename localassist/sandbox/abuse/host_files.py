"""Files of the host: read, written, made dangerous, reached by a detour."""

from __future__ import annotations

import stat
from pathlib import Path

from localassist.sandbox.abuse.case import Case, Finding, without
from localassist.sandbox.abuse.scene import Scene, said

FOLDERS = "private-root"
EVERYTHING_MOUNTED = without(FOLDERS)


async def _nothing_was_written(scene: Scene) -> Finding:
    """The code's word is not enough: the host looks at its own folder."""
    before = {path.name for path in scene.bait.folder.iterdir()}
    content = scene.bait.secret.read_text("utf-8")
    finding = said(await scene.cell())
    added = {path.name for path in scene.bait.folder.iterdir()} - before
    if added or scene.bait.secret.read_text("utf-8") != content:
        return Finding(True, f"the host's folder has changed: {', '.join(sorted(added))}")
    return Finding(False, finding.detail)


async def _no_dangerous_file_is_left(scene: Scene) -> Finding:
    """What the host finds in the data folder: no set-id bits, no device nodes."""
    finding = said(await scene.cell())
    for path in scene.data.rglob("*"):
        mode = path.lstat().st_mode
        if mode & (stat.S_ISUID | stat.S_ISGID) or not _is_harmless(path):
            return Finding(True, f"left {stat.filemode(mode)} {path.name}")
    return finding


def _is_harmless(path: Path) -> bool:
    mode = path.lstat().st_mode
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)


async def _neighbours_secret(scene: Scene) -> Finding:
    """Looks for a file in the data folder of the other kernel, by its path on the host."""
    secret = scene.neighbour.box.data / "neighbour.txt"
    await scene.neighbour.cell(f"open('/mnt/data/neighbour.txt', 'w').write({scene.bait.word!r})")
    code = f"attempt(lambda: finds({str(secret)!r}, BAIT['word']))"
    try:
        return said(await scene.cell(code))
    finally:
        secret.unlink()


CASES: tuple[Case, ...] = (
    Case(
        "shadow",
        "open the host's /etc/shadow",
        FOLDERS,
        "attempt(lambda: os.open('/etc/shadow', os.O_RDONLY))",
    ),
    Case(
        "accounts",
        "find the accounts of the host in /etc/passwd",
        "synthetic-etc",
        """
        import pwd
        own = {'sandbox', 'nobody'}
        attempt(lambda: ' '.join({entry.pw_name for entry in pwd.getpwall()} - own)[:80])
        """,
        ablation=without("synthetic-etc"),
    ),
    Case(
        "service-files",
        "read a file of the service by its path",
        FOLDERS,
        "attempt(lambda: finds(BAIT['secret'], BAIT['word']))",
        ablation=EVERYTHING_MOUNTED,
    ),
    Case(
        "other-session",
        "read the data folder of another kernel",
        FOLDERS,
        judge=_neighbours_secret,
        ablation=EVERYTHING_MOUNTED,
    ),
    Case(
        "proc-root",
        "reach the host's tree through /proc/<pid>/root and /proc/<pid>/cwd",
        FOLDERS,
        """
        ways = [f'/proc/{pid}/{link}{up}' for pid in os.listdir('/proc') if pid.isdigit()
                for link, up in (('root', ''), ('cwd', '/../../../../../..'))]
        attempt(*[lambda way=way: finds(way + BAIT['secret'], BAIT['word']) for way in ways])
        """,
        ablation=EVERYTHING_MOUNTED,
    ),
    Case(
        "open-descriptors",
        "reach the host's tree through descriptors that were left open",
        "closed descriptors",
        """
        def walk(pid, number):
            link = f'/proc/{pid}/fd/{number}'
            if not os.path.isdir(link) or os.readlink(link).startswith(('/proc', '/mnt/data')):
                return None
            folder = os.open(link, os.O_RDONLY | os.O_DIRECTORY)
            return finds(f'/proc/self/fd/{folder}/../../../../..' + BAIT['secret'], BAIT['word'])

        def descriptors():
            for pid in filter(str.isdigit, os.listdir('/proc')):
                try:
                    yield from ((pid, number) for number in os.listdir(f'/proc/{pid}/fd'))
                except OSError:
                    pass

        attempt(lambda: None, *[lambda at=at: walk(*at) for at in descriptors()])
        """,
    ),
    Case(
        "inherited-files",
        "find an open file of the host among the kernel's descriptors",
        "closed descriptors",
        """
        known = ('pipe:', 'socket:', 'anon_inode:', '/dev/null', '/dev/pts', '/proc', '/mnt/data',
                 '/tmp', '/home/sandbox', '/usr', sys.prefix, sys.base_prefix)
        def strange():
            links = []
            for number in os.listdir('/proc/self/fd'):
                try:
                    links.append(os.readlink(f'/proc/self/fd/{number}'))
                except FileNotFoundError:
                    pass
            return ' '.join(link for link in links if not link.startswith(known))
        attempt(strange)
        """,
    ),
    Case(
        "symlink-inside",
        "plant a link to a host file and read through it",
        FOLDERS,
        """
        os.symlink(BAIT['secret'], '/mnt/data/link')
        attempt(lambda: finds('/mnt/data/link', BAIT['word']))
        """,
        ablation=EVERYTHING_MOUNTED,
    ),
    Case(
        "hard-link",
        "make a hard link in the data folder to a file of the host",
        FOLDERS,
        """
        attempt(lambda: os.link(BAIT['secret'], '/mnt/data/hard') or 'linked',
                lambda: os.link('/usr/bin/env', '/mnt/data/hard') or 'linked')
        """,
    ),
    Case(
        "write-outside",
        "write to a folder of the host that everybody may write to",
        FOLDERS,
        """
        def write():
            with open(BAIT['folder'] + '/planted', 'w') as stream:
                return stream.write('x')
        attempt(write)
        """,
        judge=_nothing_was_written,
        ablation=EVERYTHING_MOUNTED,
    ),
    Case(
        "write-programs",
        "change programs and libraries: /usr, the environment, the interpreter, the root folder",
        "read-only-root",
        """
        import site
        folders = ['/', '/etc', '/usr/bin', '/usr/lib', '/run', '/mnt', '/dev', sys.prefix,
                   sys.base_prefix, *site.getsitepackages()]
        def plant(folder):
            os.mkdir(os.path.join(folder, 'planted'))
            return f'made a folder in {folder}'
        attempt(*[lambda folder=folder: plant(folder) for folder in folders])
        """,
        ablation=without("read-only-root"),
    ),
    Case(
        "set-id-bits",
        "leave a set-user-id program in the data folder",
        "seccomp",
        """
        with open('/mnt/data/program', 'w') as stream:
            stream.write('x')
        def change(mode):
            os.chmod('/mnt/data/program', mode)
            return oct(os.stat('/mnt/data/program').st_mode & 0o6000).lstrip('0o')
        attempt(lambda: change(0o4755), lambda: change(0o2755),
                lambda: os.open('/mnt/data/made', os.O_CREAT | os.O_WRONLY, 0o4755))
        """,
        judge=_no_dangerous_file_is_left,
        ablation=without("seccomp"),
    ),
    Case(
        "device-nodes",
        "make a device node for memory or a disk",
        "seccomp",
        """
        attempt(
            lambda: os.mknod('/mnt/data/mem', 0o666 | stat.S_IFCHR, os.makedev(1, 1)) or 'made',
            lambda: os.mknod('/mnt/data/sda', 0o666 | stat.S_IFBLK, os.makedev(8, 0)) or 'made',
        )
        """,
        judge=_no_dangerous_file_is_left,
    ),
    Case(
        "named-pipes",
        "leave a named pipe for the host to hang on",
        "seccomp",
        "attempt(lambda: os.mkfifo('/mnt/data/pipe') or 'made')",
        judge=_no_dangerous_file_is_left,
        ablation=without("seccomp"),
    ),
    Case(
        "devices",
        "find a device beyond the harmless ones in /dev",
        FOLDERS,
        """
        harmless = {'null', 'zero', 'full', 'random', 'urandom', 'tty', 'ptmx', 'pts', 'console'}
        def devices():
            for folder, _, names in os.walk('/dev'):
                for name in names:
                    mode = os.lstat(os.path.join(folder, name)).st_mode
                    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                        if name not in harmless and folder != '/dev/pts':
                            yield os.path.join(folder, name)
        attempt(lambda: ' '.join(devices())[:100])
        """,
    ),
    Case(
        "kernel-memory",
        "open /dev/mem, /dev/kmem, /dev/port, /dev/kmsg, /proc/kcore",
        FOLDERS,
        """
        paths = ('/dev/mem', '/dev/kmem', '/dev/port', '/dev/kmsg', '/dev/fuse', '/dev/kvm',
                 '/dev/net/tun', '/dev/vhost-net')
        def content(path):
            with open(path, 'rb') as stream:
                return stream.read(1)
        attempt(*[lambda path=path: os.open(path, os.O_RDWR) for path in paths],
                lambda: content('/proc/kcore'))
        """,
    ),
    Case(
        "sysfs",
        "read or write the host's /sys",
        FOLDERS,
        "attempt(lambda: ' '.join(os.listdir('/sys'))[:80])",
        ablation=EVERYTHING_MOUNTED,
    ),
    Case(
        "proc-host-facts",
        "read the host's command line, symbols, keys, timers and log in /proc",
        "proc-masks",
        """
        names = ('cmdline', 'kallsyms', 'keys', 'key-users', 'timer_list', 'config.gz', 'kmsg',
                 'version', 'sched_debug', 'modules', 'vmallocinfo', 'slabinfo')
        def content(name):
            with open(f'/proc/{name}', 'rb') as stream:
                return stream.read(40)
        attempt(*[lambda name=name: content(name) for name in names])
        """,
        ablation=without("proc-masks"),
    ),
    Case(
        "proc-settings",
        "open the system's settings in /proc for writing",
        "unprivileged-uid",
        """
        names = ('sys/kernel/core_pattern', 'sys/kernel/modprobe', 'sys/kernel/hostname',
                 'sys/vm/drop_caches', 'sysrq-trigger', 'sys/fs/binfmt_misc/register')
        attempt(*[lambda name=name: os.open(f'/proc/{name}', os.O_WRONLY) for name in names])
        """,
    ),
)
