"""Kernels under bubblewrap, for real: they come up, they are walled in, nothing of them is left."""

from __future__ import annotations

import ast
import asyncio
import ctypes
import errno
import json
import os
import platform
from collections.abc import AsyncIterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import pytest_asyncio
import tomli as tomllib
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import KernelProvisionerFactory

from localassist.errors import KernelStartFailed
from localassist.sandbox.channels import Channels
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.providers import PROVIDERS
from localassist.sandbox.providers.bubblewrap_provisioner import BubblewrapProvisioner
from localassist.sandbox.providers.processes import children
from localassist.sandbox.providers.syscalls import ARCHITECTURES, REFUSED
from localassist.sandbox.starting import Started, start
from tests.sandbox.kernels import a_box, a_kernel, alive, ask, said, the_environment

pytestmark = pytest.mark.sandbox

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest_asyncio.fixture
async def kernel(tmp_path: Path) -> AsyncIterator[Started]:
    started = await a_kernel(tmp_path)
    yield started
    await started.close()


async def test_code_runs_and_variables_stay(kernel: Started) -> None:
    assert await said(kernel, "x = 41") == ""
    assert await said(kernel, "x + 1") == "42"
    assert await said(kernel, "1 / 0") == "ZeroDivisionError: division by zero"


async def test_nothing_is_left(tmp_path: Path) -> None:
    kernel = await a_kernel(tmp_path)
    await said(kernel, "import subprocess; p = subprocess.Popen(['sleep', '600'])")
    await said(kernel, "import os\nif os.fork() == 0: os.setsid(); import time; time.sleep(600)", 5)
    pids = kernel.provisioner.pids()
    assert len(pids) >= 4 and alive(pids) == pids
    assert not mounts_below(tmp_path)
    descriptors = len(os.listdir("/proc/self/fd"))
    await kernel.close()
    assert alive(pids) == []
    assert list((tmp_path / "box").iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) < descriptors
    await kernel.close()


async def test_what_the_kernel_is(kernel: Started) -> None:
    status = await said(kernel, "print(open('/proc/self/status').read())")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split() == ["1000"] * 4
    assert fields["Seccomp"] == "2" and fields["NoNewPrivs"] == "1"
    assert {fields[f"Cap{name}"] for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert await said(kernel, "open('/proc/self/oom_score_adj').read().strip()") == "'800'"


async def test_files_of_the_kernel_belong_to_nobody_privileged(
    kernel: Started, tmp_path: Path
) -> None:
    await said(kernel, "open('/mnt/data/a', 'w').write('x')")
    owner = PROVIDERS["bubblewrap"](SandboxSettings()).owner_uid()
    assert os.stat(tmp_path / "data" / "a").st_uid == (os.getuid() if owner is None else owner) != 0


async def test_what_it_sees_of_the_machine(kernel: Started, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    code = f"import os; os.path.exists('{tmp_path}/secret'), os.path.exists('{tmp_path}/box')"
    assert await said(kernel, code) == "(False, False)"
    pids = await said(kernel, "[int(n) for n in os.listdir('/proc') if n.isdigit()]")
    assert set(ast.literal_eval(pids)) <= set(range(1, 8))
    users = await said(kernel, "print(open('/etc/passwd').read())")
    assert len(users.splitlines()) == 2 and "root" not in users
    assert await said(kernel, "os.path.exists('/sys'), os.uname().nodename") == "(False, 'sandbox')"
    for masked in ("cmdline", "version", "keys"):
        assert "PermissionError" in await said(kernel, f"open('/proc/{masked}').read()")
    variables = ast.literal_eval(await said(kernel, "dict(os.environ)"))
    assert not {"LOCALASSIST_HOME", "SHELL", "LOGNAME"} & set(variables)
    assert variables["OMP_NUM_THREADS"] == "2"


async def test_what_can_be_written(kernel: Started) -> None:
    code = """
import os
found = []
for folder, names, _ in os.walk('/'):
    if folder.startswith('/proc'):
        names[:] = []
    elif os.access(folder, os.W_OK):  # of /dev/pts, the bits say so, the file system does not
        found.append(folder)
        names[:] = []
print(sorted(found))"""
    assert ast.literal_eval(await said(kernel, code)) == [
        "/dev/pts",
        "/dev/shm",
        "/home/sandbox",
        "/mnt/data",
        "/tmp",
    ]


async def test_refused_calls_fail_inside(kernel: Started) -> None:
    """The filter is in force, call by call: as the kernel of this machine answers."""
    column = ARCHITECTURES[platform.machine()].column
    numbers = [entry[column] for entry in REFUSED.values() if entry[column] is not None]
    code = f"""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def failed(*arguments):
    result = libc.syscall(*map(ctypes.c_long, arguments))
    return ctypes.get_errno() if result < 0 else 0
print({{failed(n, 0, 0, 0, 0, 0, 0) for n in {numbers}}})
print([failed(n, 0, 0, 0, 0) for n in (425, 435, 437, 438, 600)])"""
    refused, new = (await said(kernel, code)).splitlines()
    assert ast.literal_eval(refused) == {errno.EPERM}
    assert ast.literal_eval(new) == [errno.ENOSYS] * 5


async def test_there_is_no_network(kernel: Started) -> None:
    code = "import socket\nfor f in (1, 2, 10, 17):\n  try: socket.socket(f)\n"
    code += "  except OSError as e: print(e.errno)\n  else: print('made')"
    assert set((await said(kernel, code)).split()) == {str(errno.EAFNOSUPPORT)}
    assert "lo:" in await said(kernel, "print(open('/proc/net/dev').read())")
    assert await said(kernel, "len(open('/proc/net/dev').readlines())") == "3"


async def test_no_set_id_files(kernel: Started) -> None:
    assert "PermissionError" in await said(
        kernel, "import os; open('s', 'w').close(); os.chmod('s', 0o4755)"
    )


async def test_a_running_cell_is_interrupted(kernel: Started) -> None:
    running = asyncio.create_task(said(kernel, "while True: pass"))
    await asyncio.sleep(0.5)
    await kernel.manager.interrupt_kernel()
    assert "KeyboardInterrupt" in await running
    assert await said(kernel, "1") == "1"


async def test_a_kernel_that_exits_takes_everything_along(kernel: Started) -> None:
    await said(kernel, "import subprocess; p = subprocess.Popen(['sleep', '600'])")
    pids = kernel.provisioner.pids()
    await ask(kernel, "import os; os._exit(7)")
    assert await asyncio.wait_for(kernel.provisioner.wait(), 10) == 7
    assert alive(pids) == []
    assert not await kernel.manager.is_alive()


async def test_too_much_memory_is_an_exception(tmp_path: Path) -> None:
    kernel = await a_kernel(tmp_path, SandboxSettings(memory_mb=400))
    try:
        assert "MemoryError" in await said(kernel, "x = 1; y = bytearray(500 << 20)")
        grown = "z = []\nwhile True: z.append(bytearray(10 << 20))"
        assert "MemoryError" in await said(kernel, grown)
        assert await said(kernel, "x, len(z) > 20") == "(1, True)"
    finally:
        await kernel.close()


async def test_modules_are_not_taken_over(tmp_path: Path) -> None:
    async def names() -> tuple[str, str]:
        kernel = await a_kernel(tmp_path / str(len(seen)), without=seen[-1])
        try:
            await said(kernel, "open('decimal_like.py', 'w').write('A = 1')")
            await said(kernel, "open('traitlets.py', 'w').write('A = 1')")
            await said(kernel, "import sys; del sys.modules['traitlets']; import traitlets")
            own = await said(kernel, "import decimal_like; decimal_like.A")
            return own, await said(kernel, "traitlets.__file__.startswith('/mnt/data')")
        finally:
            await kernel.close()

    seen = [frozenset[str]()]
    assert await names() == ("1", "False")
    seen.append(frozenset({"module-path"}))
    assert await names() == ("1", "True")


async def test_a_child_prints_and_figures_are_shown(tmp_path: Path) -> None:
    kernel = await a_kernel(tmp_path, preload=("matplotlib.pyplot",))
    try:
        forked = "import os\nif os.fork() == 0:\n  print('from the child'); os._exit(0)\nos.wait();"
        assert "from the child" in await said(kernel, forked)
        figure = "import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()"
        assert "image/png" in await said(kernel, figure)
    finally:
        await kernel.close()


async def test_channels_can_be_made_anew(kernel: Started) -> None:
    await said(kernel, "x = 5")
    kernel.channels.close()
    kernel.channels = await Channels.open(kernel.provisioner.connection_info)
    await asyncio.sleep(0.2)
    assert await said(kernel, "x") == "5"


async def test_two_kernels_see_nothing_of_each_other(kernel: Started, tmp_path: Path) -> None:
    other = await a_kernel(tmp_path / "other")
    try:
        await said(kernel, "open('/mnt/data/a', 'w'); open('/tmp/a', 'w'); open('/dev/shm/a', 'w')")
        code = "import os; [os.listdir(f) for f in ('/mnt/data', '/dev/shm')]"
        assert await said(other, code) == "[[], []]"
        assert await said(other, "os.path.exists('/tmp/a')") == "False"
        host = set(kernel.provisioner.pids()) | set(other.provisioner.pids())
        for pid in host:
            assert "Error" in await said(other, f"os.kill({pid}, 9)")
        assert await said(kernel, "1") == "1"
    finally:
        await other.close()


async def test_folders_with_long_names(tmp_path: Path) -> None:
    kernel = await a_kernel(tmp_path / ("x" * 120))
    try:
        assert await said(kernel, "1 + 1") == "2"
    finally:
        await kernel.close()


async def test_a_kernel_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(KernelStartFailed, match="No module named 'nowhere'"):
        await a_kernel(tmp_path, preload=("nowhere",))
    assert list((tmp_path / "box").iterdir()) == []


async def test_a_sandbox_that_cannot_be_set_up_says_why(tmp_path: Path) -> None:
    provider = PROVIDERS["bubblewrap"](SandboxSettings())
    box = a_box(tmp_path, provider)
    (tmp_path / "data").rmdir()
    with pytest.raises(KernelStartFailed, match="No such file"):
        await start(provider, box, provider.settings)


async def test_a_start_that_takes_too_long_leaves_nothing(tmp_path: Path) -> None:
    # The test's own children: a sandbox is one of them.
    before = children_of_this()
    for seconds in (0.001, 0.05, 0.2):
        with pytest.raises(KernelStartFailed, match="did not answer within"):
            folder = tmp_path / str(seconds)
            await a_kernel(folder, SandboxSettings(start_seconds=seconds))
        assert list((folder / "box").iterdir()) == []
    assert children_of_this() <= before


@pytest.mark.parametrize("seconds", [0.0, 0.005, 0.02, 0.1, 0.2])
async def test_a_start_that_is_given_up_leaves_nothing(tmp_path: Path, seconds: float) -> None:
    before = children_of_this()
    starting = asyncio.create_task(a_kernel(tmp_path))
    await asyncio.sleep(seconds)
    starting.cancel()
    try:
        kernel = await starting
    except asyncio.CancelledError:
        assert children_of_this() <= before
    else:  # It was quicker.
        await kernel.close()


async def test_a_service_that_inherits_orphans_buries_them(tmp_path: Path) -> None:
    """As process 1 of a container does."""
    prctl, set_child_subreaper = ctypes.CDLL(None).prctl, 36
    assert prctl(set_child_subreaper, 1, 0, 0, 0) == 0
    try:
        before = children_of_this()
        await (await a_kernel(tmp_path)).close()
        assert children_of_this() <= before
    finally:
        prctl(set_child_subreaper, 0, 0, 0, 0)


@pytest.mark.parametrize("name", ["die-with-parent", "pid-namespace"])
async def test_a_kernel_ends_without_what_would_end_it(tmp_path: Path, name: str) -> None:
    kernel = await a_kernel(tmp_path, without=frozenset({name}))
    pids = kernel.provisioner.pids()
    await asyncio.wait_for(kernel.close(), 20)
    assert alive(pids) == []


def mounts_below(folder: Path) -> bool:
    return str(folder) in Path("/proc/self/mountinfo").read_text()


def children_of_this() -> set[int]:
    return set(children(os.getpid()))


async def test_other_programs_start_kernels_by_a_kernelspec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with the entry point installed: nothing but jupyter_client and a kernelspec."""
    project = tomllib.loads(PROJECT.read_text())["project"]
    name, value = next(iter(project["entry-points"]["jupyter_client.kernel_provisioners"].items()))
    entry = EntryPoint(name, value, "jupyter_client.kernel_provisioners")
    factory = KernelProvisionerFactory.instance()
    monkeypatch.setitem(factory.provisioners, name, entry)
    config = {"environment": str(the_environment().folder)}
    spec = {
        "argv": ["python"],
        "display_name": "Sandbox",
        "language": "python",
        "metadata": {"kernel_provisioner": {"provisioner_name": name, "config": config}},
    }
    (tmp_path / "kernels" / "sandbox").mkdir(parents=True)
    (tmp_path / "kernels" / "sandbox" / "kernel.json").write_text(json.dumps(spec))
    manager = AsyncKernelManager(
        kernel_name="sandbox", connection_file=str(tmp_path / "connection.json")
    )
    manager.kernel_spec_manager.kernel_dirs = [str(tmp_path / "kernels")]
    await manager.start_kernel()
    assert isinstance(manager.provisioner, BubblewrapProvisioner)
    client = manager.client(context=manager.context)
    client.start_channels()
    await client.wait_for_ready(timeout=60)
    reply = await client.execute("x = 1", reply=True)
    assert reply["content"]["status"] == "ok"
    await manager.restart_kernel(now=True)
    await client.wait_for_ready(timeout=60)
    reply = await client.execute("x", reply=True)
    assert reply["content"]["ename"] == "NameError"
    client.stop_channels()
    folder = manager.provisioner.box.folder
    pids = manager.provisioner.pids()
    await manager.shutdown_kernel()
    assert alive(pids) == [] and not folder.exists()
