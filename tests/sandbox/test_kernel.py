"""Kernels under isolation, and code that means harm to whoever listens to them."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from localassist.errors import KernelStartFailed
from localassist.sandbox import starting
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.kernel import Kernel, _cause
from localassist.sandbox.outputs import CellEnded, Image, Logs
from localassist.sandbox.providers import PROVIDERS
from tests.sandbox.kernels import a_box, alive

pytestmark = pytest.mark.sandbox

SETTINGS = SandboxSettings(memory_mb=600, disk_mb=20, files=200)


@dataclass(frozen=True)
class Ran:
    status: str
    text: str
    images: tuple[bytes, ...]
    notice: str


async def run(kernel: Kernel, code: str) -> Ran:
    items = [item async for item in kernel.execute(code)]
    ended = items[-1]
    assert isinstance(ended, CellEnded)
    assert not any(isinstance(item, CellEnded) for item in items[:-1])
    text = "".join(item.text for item in items if isinstance(item, Logs))
    images = tuple(item.data for item in items if isinstance(item, Image))
    return Ran(ended.status, text, images, ended.notice or "")


async def forget(kernel: Kernel, code: str) -> Ran:
    """Run code and keep no image, as the service does: what grows is not the test's own list."""
    text, ended = "", CellEnded("died")
    async for item in kernel.execute(code):
        if isinstance(item, Logs):
            text += item.text
        elif isinstance(item, CellEnded):
            ended = item
    return Ran(ended.status, text, (), ended.notice or "")


async def a_kernel(folder: Path, name: str = "bubblewrap") -> Kernel:
    provider = PROVIDERS[name](SETTINGS)
    return await Kernel.start(provider, a_box(folder, provider), SETTINGS)


@pytest_asyncio.fixture
async def kernel(tmp_path: Path) -> AsyncIterator[Kernel]:
    kernel = await a_kernel(tmp_path)
    yield kernel
    pids = kernel.pids()
    await kernel.close()
    assert alive(pids) == []


def with_seconds(kernel: Kernel, seconds: float) -> None:
    kernel.limits = kernel.limits.lowered({"cell_seconds": seconds})


async def dies(kernel: Kernel, code: str) -> Ran:
    pids = kernel.pids()
    ran = await run(kernel, code)
    assert ran.status == "died" and not kernel.is_alive()
    assert ran.notice.startswith(f"The kernel was ended, because {kernel.ended_because()};")
    await kernel.close()
    assert alive(pids) == []
    again = await run(kernel, "1")
    assert again.status == "died"
    return ran


async def test_variables_stay_and_outputs_come(kernel: Kernel) -> None:
    assert await run(kernel, "x = 41") == Ran("ok", "", (), "")
    assert await run(kernel, "x + 1") == Ran("ok", "42\n", (), "")
    failed = await run(kernel, "print('before'); 1 / 0")
    assert failed.status == "error" and failed.text.startswith("before\n")
    assert failed.text.endswith("ZeroDivisionError: division by zero\n")
    assert "\x1b" not in failed.text and kernel.is_alive()
    plot = "import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()"
    assert [image[:4] for image in (await run(kernel, plot)).images] == [b"\x89PNG"]


async def test_a_kernel_without_isolation_is_held_as_well(tmp_path: Path) -> None:
    kernel = await a_kernel(tmp_path, "unsafe")
    try:
        await run(kernel, "x = 41")
        with_seconds(kernel, 0.3)
        assert (await run(kernel, "while True: pass")).status == "timed_out"
        with_seconds(kernel, 60)
        assert (await run(kernel, "x")).text == "41\n"
        many = "import os, time\nfor n in range(300): open(str(n), 'w').close()\ntime.sleep(600)"
        assert "more than 200 files" in (await run(kernel, many)).notice
        child = "if os.fork() == 0: time.sleep(600)"
        pids = kernel.pids()
        assert (await run(kernel, f"{child}\nos._exit(3)")).status == "died"
        pids += kernel.pids()
        assert kernel.ended_because() == "the code ended its own process with status 3"
    finally:
        await kernel.close()
    assert alive(pids) == []


async def test_output_comes_as_it_is_printed(kernel: Kernel) -> None:
    slow = "import time\nprint('a')\nwhile not __import__('os').path.exists('go'): time.sleep(0.01)"
    async with aclosing(kernel.execute(slow)) as outputs:
        assert await anext(outputs) == Logs("a\n")
        kernel._started.provisioner.box.data.joinpath("go").touch()
        assert [item async for item in outputs] == [CellEnded("ok")]


async def test_input_is_refused(kernel: Kernel) -> None:
    ran = await run(kernel, "input('name? ')")
    assert ran.status == "error" and "does not support input requests" in ran.text


async def test_endless_code_is_interrupted_and_variables_stay(kernel: Kernel) -> None:
    await run(kernel, "x = 41")
    with_seconds(kernel, 0.3)
    ran = await run(kernel, "while True: pass")
    assert ran.status == "timed_out" and "ran for 0.3 seconds" in ran.notice
    with_seconds(kernel, 60)
    assert (await run(kernel, "x")).text == "41\n"


async def test_code_that_ignores_interrupts_is_ended(kernel: Kernel) -> None:
    with_seconds(kernel, 0.3)
    stubborn = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
    ran = await dies(kernel, stubborn)
    assert "did not end when it was interrupted" in ran.notice


async def test_code_that_nobody_waits_for_is_interrupted(kernel: Kernel) -> None:
    for code in ("while True: print('x')", "import time; print(1, flush=True); time.sleep(600)"):
        async with aclosing(kernel.execute(code)) as outputs:
            assert isinstance(await anext(outputs), Logs)
    unstarted = kernel.execute("y = 1")
    await unstarted.aclose()
    assert kernel.is_alive()
    assert (await run(kernel, "'y' in globals()")).text == "False\n"


async def test_a_cancelled_listener_leaves_a_usable_kernel(kernel: Kernel) -> None:
    task = asyncio.create_task(run(kernel, "import time; time.sleep(600)"))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await run(kernel, "1 + 1")).text == "2\n"


@pytest.mark.parametrize(
    ("code", "because"),
    [
        ("import os; os._exit(3)", "the code ended its own process with status 3"),
        ("import ctypes; ctypes.string_at(0)", "it crashed (segmentation fault)"),
        ("import os; os.abort()", "it aborted"),
        ("import os; os.kill(os.getpid(), 9)", "it was killed, perhaps for lack of memory"),
        (
            "import gc, time, zmq\n"
            "for one in gc.get_objects():\n"
            "    if type(one) is zmq.Context: one.destroy(0)\n"
            "time.sleep(600)",
            "the code closed the kernel's connections",
        ),
        (
            "import os, time\n"
            "for fd in range(3, 200):\n"
            "    try: os.close(fd)\n"
            "    except OSError: pass\n"
            "time.sleep(600)",
            "",
        ),
    ],
)
async def test_a_death_is_told_with_its_reason(kernel: Kernel, code: str, because: str) -> None:
    with_seconds(kernel, 10)
    assert because in (await dies(kernel, code)).notice


async def test_memory_of_one_process_is_an_exception(kernel: Kernel) -> None:
    await run(kernel, "x = 41")
    ran = await run(kernel, "b = bytearray(2 << 30)")
    assert ran.status == "error" and "MemoryError" in ran.text
    assert ran.notice == "The code may use 600 MB of memory."
    assert (await run(kernel, "x")).text == "41\n"


async def test_memory_of_many_processes_ends_the_kernel(kernel: Kernel) -> None:
    many = (
        "import os, time\n"
        "for _ in range(6):\n"
        "    if os.fork() == 0:\n"
        "        b = os.urandom(1 << 20) * 150\n"
        "        time.sleep(600)\n"
        "time.sleep(600)"
    )
    ran = await dies(kernel, many)
    assert "MB of memory; the limit is 600 MB" in ran.notice


@pytest.mark.parametrize(
    ("fill", "empty", "because"),
    [
        (
            "for n in range(3): open(str(n), 'wb').write(bytes(10 << 20))",
            "for n in range(3): os.remove(str(n))",
            "the limit is 20 MB",
        ),
        (
            "for n in range(300): open(str(n), 'w').close()",
            "for n in range(300): os.remove(str(n))",
            "more than 200 files",
        ),
        (
            "files = [open(str(n), 'wb') for n in range(3)]\n"
            "for n, f in enumerate(files): os.remove(str(n)); f.write(bytes(10 << 20)); f.flush()",
            "for f in files: f.close()",
            "the limit is 20 MB",
        ),
    ],
)
async def test_a_full_folder_stops_code_that_can_make_room(
    kernel: Kernel, fill: str, empty: str, because: str
) -> None:
    ran = await run(kernel, f"import os, time\n{fill}\ntime.sleep(600)")
    assert ran.status == "limit" and because in ran.notice
    ran = await run(kernel, f"{empty}\nprint('x' in globals())")
    assert ran == Ran("ok", "False\n", (), "")


FLOODS = {
    "one message": "print('x' * (40 << 20))",
    "traceback": "raise ValueError('x' * (20 << 20))",
    "lines": "while True: print('x' * 1000)",
    "descriptor": "import os\nwhile True: os.write(1, b'\\xff\\x00' * 20000)",
    "displays": "from IPython.display import display\nwhile True: display('x')",
    "images": (
        "from IPython.display import Image, display\n"
        "p = b'\\x89PNG\\r\\n\\x1a\\n\\0\\0\\0\\rIHDR' + bytes(10 << 20)\n"
        "for _ in range(120): display(Image(p, format='png'))"
    ),
    "values": (
        "from IPython import get_ipython\n"
        "k = get_ipython().kernel\n"
        "while True: k.session.send(k.iopub_socket, 'display_data',"
        " {'data': {'a': [[]] * 3_000_000}}, parent=k.get_parent())"
    ),
    "frames": (
        "from IPython import get_ipython\n"
        "k = get_ipython().kernel\n"
        "while True: k.iopub_thread.socket.send_multipart([b'x'] * 100_000)"
    ),
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
async def test_floods_cost_the_service_little(kernel: Kernel, flood: str) -> None:
    with_seconds(kernel, 2)
    await run(kernel, "x = 41")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    work, done = 0.0, asyncio.Event()

    async def measure() -> None:
        nonlocal work
        while not done.is_set():
            worked = time.thread_time()
            await asyncio.sleep(0.002)
            work = max(work, time.thread_time() - worked)

    measuring = asyncio.create_task(measure())
    ran = await forget(kernel, flood)
    done.set()
    await measuring
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024 - before
    print(f"{ran.status}: {work * 1000:.0f} ms of work at once, {grown} MB more; {ran.notice}")
    assert len(ran.text) < SETTINGS.output_characters + 13_000
    assert grown < 300
    if kernel.is_alive():
        with_seconds(kernel, 60)
        # What was written to a descriptor and not yet read counts as the next code's.
        assert "41\n" in (await run(kernel, "x")).text


async def test_forged_and_broken_messages_change_nothing(kernel: Kernel) -> None:
    forge = (
        "from IPython import get_ipython\n"
        "import os\n"
        "k = get_ipython().kernel\n"
        "parent = k.get_parent()\n"
        "def send(kind, **content): k.session.send(k.iopub_socket, kind, content, parent=parent)\n"
        "send('status', execution_state='idle')\n"
        "send('stream', name=3, text=['a'])\n"
        "send('display_data', data=None)\n"
        "send('error', ename=1, evalue={}, traceback='x')\n"
        "send('execute_reply', status='ok')\n"
        "socket = k.iopub_thread.socket\n"
        "for frames in ([b''], [b'<IDS|MSG>'], [b'<IDS|MSG>', b'', b'{}', b'{', b'', b'']):\n"
        "    socket.send_multipart(frames)\n"
        "print('after', flush=True)\n"
        "os.write(1, b'\\xff\\xfe\\n')\n"
    )
    ran = await run(kernel, forge)
    assert ran.text.encode("utf-8") and "after" in ran.text
    assert (await run(kernel, "x = 1; x")).text == "1\n"


async def test_a_kernel_that_does_not_come_up(tmp_path: Path) -> None:
    provider = PROVIDERS["bubblewrap"](SETTINGS)
    box = a_box(tmp_path, provider, preload=("no_such_module",))
    with pytest.raises(KernelStartFailed, match="No module named 'no_such_module'"):
        await Kernel.start(provider, box, SETTINGS)


async def test_a_kernel_that_takes_too_long_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = PROVIDERS["bubblewrap"](SETTINGS)
    hasty = SETTINGS.model_copy(update={"start_seconds": 0.05})
    with pytest.raises(KernelStartFailed, match="did not answer within 0.05 s"):
        await Kernel.start(provider, a_box(tmp_path, provider), hasty)

    never: Callable[..., Awaitable[None]] = lambda channels: asyncio.sleep(600)  # noqa: E731
    monkeypatch.setattr(starting, "_answer", never)
    start = asyncio.create_task(a_kernel(tmp_path / "other"))
    await asyncio.sleep(1)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start


@pytest.mark.parametrize(
    ("status", "because"),
    [
        (0, "the code ended its own process with status 0"),
        (139, "it crashed (segmentation fault), saying 'x'"),
        (-9, "it was killed, perhaps for lack of memory"),
        (159, "it made a forbidden system call"),
    ],
)
def test_causes_of_death(status: int, because: str) -> None:
    assert _cause(status, "x") == because
