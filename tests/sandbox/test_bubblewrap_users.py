"""Kernels of a service that is an ordinary user, that is root without rights, that is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from localassist.sandbox.providers.processes import tree
from tests.sandbox.kernels import alive, the_environment

pytestmark = pytest.mark.sandbox

ORDINARY_UID = 54321
ROOT = Path(__file__).parents[2]

# A service in little: starts a kernel, tells its processes, and runs what comes on stdin in it.
SERVICE = """
import asyncio, json, os, sys
from pathlib import Path
from localassist.sandbox.config import SandboxSettings
from tests.sandbox.kernels import a_kernel, said
async def main():
    kernel = await a_kernel(Path(sys.argv[1]))
    print(json.dumps(kernel.provisioner.pids()), flush=True)
    for code in sys.stdin:
        print(json.dumps(await said(kernel, code)), flush=True)
    await kernel.close()
asyncio.run(main())
"""

# Makes a mount namespace in which an ordinary user reaches the interpreter, wherever it lies, then
# becomes that user: what lies below a closed folder is bound to where it was below an open one.
ORDINARY = """
import ctypes, os, sys
closed, uid, *paths = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
def mount(*arguments):
    assert libc.mount(*arguments) == 0, os.strerror(ctypes.get_errno())
assert libc.unshare(0x20000) == 0
mount(b"none", b"/", None, 0x44000, None)
opened = [(path, os.open(path, os.O_PATH)) for path in paths]
for folder in closed:
    mount(b"tmpfs", folder.encode(), b"tmpfs", 0, b"mode=0755")
for path, descriptor in opened:
    os.makedirs(path, exist_ok=True)
    mount(b"/proc/self/fd/%d" % descriptor, path.encode(), None, 0x5000, None)
os.setgroups([]); os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid)
os.chdir("/")
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class Service:
    """``SERVICE`` as a process of its own."""

    def __init__(self, folder: Path, before: list[str]) -> None:
        environment = the_environment()
        self.process = subprocess.Popen(
            [*before, "-c", SERVICE, str(folder)],
            env={
                "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
                "PATH": os.environ["PATH"],
                "LOCALASSIST_SANDBOX__ENVIRONMENT": str(environment.folder),
                "SECRET": "of the service",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(self.process.communicate()[1][-3000:])
        self.pids: list[int] = json.loads(line)

    def said(self, code: str) -> str:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{code}\n")
        self.process.stdin.flush()
        return str(json.loads(self.process.stdout.readline()))

    def close(self) -> str:
        """Ends it in an orderly way; what it said on stderr."""
        return self.process.communicate(timeout=30)[1]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where everybody may go, unlike ``tmp_path``."""
    path = Path(f"/tmp/localassist-test-{os.getpid()}-{time.monotonic_ns()}")
    path.mkdir(mode=0o755)
    yield path
    shutil.rmtree(path)


def closed_folders(*paths: Path) -> set[str]:
    """The topmost folders above the paths that an ordinary user may not enter."""
    found = set()
    for path in paths:
        for parent in reversed(path.parents):
            if not parent.stat().st_mode & 0o001:
                found.add(str(parent))
                break
    return found


def as_ordinary_user(uid: int) -> list[str]:
    environment = the_environment()
    needed = {ROOT, Path(sys.prefix), Path(sys.base_prefix)}
    needed |= {environment.folder, environment.python_base}
    closed = closed_folders(*needed)
    hidden = [str(path) for path in needed if any(path.is_relative_to(c) for c in closed)]
    told = json.dumps([sorted(closed), uid, *hidden])
    return [sys.executable, "-c", f"import json{ORDINARY}", told]


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")


@needs_root
def test_an_ordinary_user(folder: Path) -> None:
    os.chown(folder, ORDINARY_UID, ORDINARY_UID)
    service = Service(folder, as_ordinary_user(ORDINARY_UID))
    try:
        assert service.said("1 + 1") == "2"
        assert service.said("import os; os.getuid(), 'SECRET' in os.environ") == "(1000, False)"
        service.said("f = open('/mnt/data/a', 'w')")
        assert os.stat(folder / "data" / "a").st_uid == ORDINARY_UID
    finally:
        assert service.close() == ""
    assert alive(service.pids) == []


@needs_root
def test_root_whose_data_nobody_else_reaches(folder: Path) -> None:
    """As in /root, mode 0700: the launcher puts the folders where the kernel's user sees them."""
    folder.chmod(0o700)
    service = Service(folder, [sys.executable])
    try:
        assert service.said("f = open('/mnt/data/a', 'w'); 1") == "1"
        assert os.stat(folder / "data" / "a").st_uid != 0
        assert alive(service.pids) == service.pids
        owners = {os.stat(f"/proc/{pid}").st_uid for pid in service.pids}
        assert 0 not in owners
    finally:
        assert service.close() == ""


def without_capability(name: str) -> list[str]:
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    drop = f"--bounding-set=-{name}"
    return ["setpriv", drop, f"--inh-caps=-{name}", "--", sys.executable]


@needs_root
def test_root_that_may_not_mount(folder: Path) -> None:
    """As in a container without CAP_SYS_ADMIN: works where all folders can be reached anyway, and
    says what is missing where they cannot."""
    environment = the_environment()
    if not closed_folders(environment.folder, environment.python_base):
        service = Service(folder, without_capability("sys_admin"))
        assert service.said("1 + 1") == "2"
        assert service.close() == ""
    else:
        with pytest.raises(AssertionError, match="Permission denied"):
            Service(folder, without_capability("sys_admin"))


@needs_root
def test_root_that_may_not_change_its_user(folder: Path) -> None:
    with pytest.raises(AssertionError, match="Operation not permitted"):
        Service(folder, without_capability("setgid"))
    probe = """
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.providers import PROVIDERS
verdict = PROVIDERS["bubblewrap"](SandboxSettings()).probe(None)
print(verdict.ok, verdict.reasons[0], verdict.fix_hint)"""
    done = subprocess.run(
        [*without_capability("setuid"), "-c", probe], capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout.startswith("False The service is root but may not become another user")
    assert "ordinary user" in done.stdout


def test_a_service_that_is_killed_leaves_no_process(folder: Path) -> None:
    service = Service(folder, [sys.executable])
    service.said("import subprocess; p = subprocess.Popen(['sleep', '600']); p.pid > 0")
    service.said("import os; os.fork() or (os.setsid(), __import__('time').sleep(600))")
    assert alive(service.pids) == service.pids
    below = tree(service.pids[0])
    assert len(below) >= 4
    service.process.send_signal(signal.SIGKILL)
    service.process.communicate()
    deadline = time.monotonic() + 20
    while alive(below) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert alive(below) == []
    assert str(folder) not in Path("/proc/self/mountinfo").read_text()
