"""The interpreter over real kernels in real isolation."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from localassist import load_settings
from localassist.engine import ScriptedEngine
from localassist.registry.manifest import ModelManifest
from localassist.runtime import Runtime, open_runtime
from localassist.schemas.threads import ThreadCreate
from localassist.services.interpreter import Executed, ExecutionItem, Printed
from localassist.tools.code_interpreter.base import Execution
from tests.runs.conftest import P
from tests.waiting import until

pytestmark = pytest.mark.sandbox
SANDBOX = {"preload": [], "warm_kernels": 0}


@dataclass
class Bench:
    runtime: Runtime

    async def thread(self) -> str:
        return (await self.runtime.threads.create(P, ThreadCreate())).id

    async def upload(self, filename: str, content: bytes) -> str:
        async def chunks() -> AsyncIterator[bytes]:
            yield content

        file = await self.runtime.files.create(
            P, filename=filename, purpose="assistants", chunks=chunks()
        )
        return file.id

    async def content(self, file_id: str) -> bytes:
        _, chunks = await self.runtime.files.open(P, file_id)
        return b"".join([chunk async for chunk in chunks])

    async def run(
        self,
        thread_id: str,
        code: str,
        *file_ids: str,
        wanted: Mapping[str, float] | None = None,
    ) -> Execution:
        items: list[ExecutionItem] = [
            item
            async for item in self.runtime.interpreter.execute(
                P, thread_id, code, file_ids=file_ids, wanted=wanted or {}
            )
        ]
        assert isinstance(items[-1], Executed)
        printed = "".join(item.text for item in items if isinstance(item, Printed))
        assert printed == items[-1].execution.logs
        return items[-1].execution


def folders(bench: Bench) -> list[Path]:
    """Of kernels."""
    root = bench.runtime.settings.home / "sandbox" / "sessions"
    return [path for path in root.iterdir() if path.is_dir()]


@asynccontextmanager
async def opened(home: Path, **sandbox: object) -> AsyncIterator[Bench]:
    async def engines(manifest: ModelManifest) -> ScriptedEngine:
        return ScriptedEngine()

    settings = load_settings(home, sandbox={**SANDBOX, **sandbox})
    async with open_runtime(settings, engines=engines) as runtime:
        yield Bench(runtime)


@pytest_asyncio.fixture
async def bench(localassist_home: Path) -> AsyncIterator[Bench]:
    async with opened(localassist_home) as bench:
        yield bench


async def test_state_is_kept_within_a_thread_and_not_beyond(bench: Bench) -> None:
    one, other = await bench.thread(), await bench.thread()
    assert (await bench.run(one, "x = 41")).logs == ""
    assert (await bench.run(one, "x + 1")).logs.strip() == "42"
    elsewhere = await bench.run(other, "x")
    assert elsewhere.ending == "error" and "NameError" in elsewhere.logs


async def test_a_table_goes_in_and_a_figure_and_a_file_come_out(bench: Bench) -> None:
    thread = await bench.thread()
    file = await bench.upload("sales 2024.csv", b"month,sales\nJan,3\nFeb,5\n")
    code = f"""
import pandas as pd, matplotlib.pyplot as plt, os
table = pd.read_csv("sales 2024.csv")
assert open("/mnt/data/{file}").read() == open("/mnt/data/sales 2024.csv").read()
print(table.sales.sum())
table["double"] = table.sales * 2
table.to_csv("/mnt/data/double.csv", index=False)
plt.plot(table.sales)
plt.show()
table.to_csv("sales 2024.csv", index=False)
"""
    done = await bench.run(thread, code, file)
    assert done.ending == "ok", done.logs
    assert done.logs.strip() == "8"
    assert list(done.files) == ["double.csv", "sales 2024.csv"] and len(done.images) == 1
    assert (await bench.content(done.images[0])).startswith(b"\x89PNG")
    assert b"Jan,3,6" in await bench.content(done.files["double.csv"])
    assert await bench.content(file) == b"month,sales\nJan,3\nFeb,5\n"
    # What was given is not written over, and a new kernel has what code has made of it.
    again = await bench.run(thread, "print(open('sales 2024.csv').readline())", file)
    assert again.logs.strip() == "month,sales,double" and again.files == {}
    await bench.runtime.interpreter.drop(thread)
    code = f"print(open('sales 2024.csv').readline() + open('{file}').readline())"
    fresh = await bench.run(thread, code, file)
    assert fresh.logs.split() == ["month,sales,double", "month,sales"]


async def test_what_code_plants_is_not_followed(bench: Bench, tmp_path: Path) -> None:
    thread = await bench.thread()
    secret = tmp_path / "secret"
    secret.write_text("the host's")
    secret.chmod(0o644)
    code = f"""
import os
os.symlink("{secret}", "link")
os.symlink("/etc", "etc")
os.mkdir("data.csv")
open("same", "w").close(); os.link("same", "again")
with open("sparse", "wb") as f: f.truncate(2**20)
open(b"caf\\xe9.txt", "w").write("bytes")
"""
    done = await bench.run(thread, code)
    assert done.ending == "ok", done.logs
    assert sorted(done.files) == ["caf�.txt", "sparse"]
    assert "links are not kept" in done.logs and "hard links" in done.logs
    file = await bench.upload("data.csv", b"a,b\n")
    code = "import os; print(open('data.csv').read(), os.path.isfile('data.csv'))"
    assert (await bench.run(thread, code, file)).logs.split() == ["a,b", "True"]
    contents = [await bench.content(file_id) for file_id in done.files.values()]
    assert sorted(contents) == [bytes(2**20), b"bytes"]


async def test_code_swaps_its_files_for_links_while_they_are_collected(
    bench: Bench, tmp_path: Path
) -> None:
    """A process that outlives the cell swaps names all the time."""
    thread = await bench.thread()
    secret = tmp_path / "secret"
    secret.write_text("the host's secret")
    secret.chmod(0o644)
    code = f"""
import threading, os
stop = False
os.mkdir("real"); open("real/name", "w").write("own")
os.symlink("{tmp_path}", "evil")
open("real/secret", "w").write("own")
def swap():
    while not stop:
        try:
            os.rename("real", "out"); os.rename("out", "real")
            os.rename("evil", "out"); os.rename("out", "evil")
            open("real/secret", "w").write("own")
        except OSError: pass
threading.Thread(target=swap, daemon=True).start()
"""
    contents = []
    done = await bench.run(thread, code)
    for _ in range(20):
        contents += [await bench.content(id_) for id_ in done.files.values()]
        done = await bench.run(thread, "import time; time.sleep(0.01)")
    await bench.run(thread, "stop = True")
    assert contents and set(contents) <= {b"own", b""}


async def test_given_files_do_not_count_as_written(localassist_home: Path) -> None:
    async with opened(localassist_home, disk_mb=4) as bench:
        thread = await bench.thread()
        file = await bench.upload("large.bin", os.urandom(12 << 20))
        code = "import os, time; time.sleep(1); print(os.path.getsize('large.bin'))"
        done = await bench.run(thread, code, file)
        assert (done.ending, done.logs.strip()) == ("ok", str(12 << 20))
        code = """
import os, time
with open("more.bin", "wb") as f:
    for _ in range(50):
        f.write(os.urandom(1 << 20)); f.flush(); time.sleep(0.1)
"""
        done = await bench.run(thread, code, file)
        assert done.ending != "ok" and "[" in done.logs


async def test_closing_interrupts_and_the_kernel_goes_on(bench: Bench) -> None:
    thread = await bench.thread()
    code = """
import time
x = 1
open("half", "w").write("1")
print("begun", flush=True)
time.sleep(60)
"""
    items = bench.runtime.interpreter.execute(P, thread, code, file_ids=[], wanted={})
    first = await anext(items)
    assert isinstance(first, Printed) and "begun" in first.text
    await items.aclose()
    done = await bench.run(thread, "x")
    assert done.logs.strip() == "1" and list(done.files) == ["half"]


async def test_a_dead_kernel_is_said_and_its_files_are_there_again(bench: Bench) -> None:
    thread = await bench.thread()
    await bench.run(thread, "y = 2; open('kept.txt', 'w').write('kept')")
    died = await bench.run(thread, "open('last.txt', 'w').write('l'); import os; os._exit(3)")
    assert died.ending == "died" and died.logs.endswith("]")
    assert list(died.files) == ["last.txt"]
    after = await bench.run(
        thread, "print(open('kept.txt').read(), open('last.txt').read(), 'y' in globals())"
    )
    assert after.logs.startswith("kept l False\n[")


async def test_a_deleted_thread_takes_its_kernel_along(bench: Bench) -> None:
    thread = await bench.thread()
    await bench.run(thread, "1")
    assert len(folders(bench)) == 1
    await bench.runtime.threads.delete(P, thread)
    assert not folders(bench) and bench.runtime.interpreter.counts()["kernels"] == 0


async def test_a_kernel_gives_way_and_its_files_come_back(localassist_home: Path) -> None:
    async with opened(localassist_home, max_kernels=1) as bench:
        one, other = await bench.thread(), await bench.thread()
        file = await bench.upload("data.csv", b"a\n1\n")
        made = await bench.run(one, "x = 1; open('out.txt', 'w').write('made')", file)
        await bench.run(other, "1")
        assert len(folders(bench)) == 1
        look = "import os; print(sorted(os.listdir())); x"
        again = await bench.run(one, look, file)
        assert again.logs.startswith(str(sorted(["data.csv", "out.txt", file])))
        assert "NameError" in again.logs and again.files == {}
        last_line = again.logs.splitlines()[-1]
        assert last_line.startswith("[The kernel was started anew, because other code needed")
        assert "[" not in (await bench.run(one, "1", file)).logs, "said once"
        assert await bench.content(made.files["out.txt"]) == b"made"
        assert bench.runtime.interpreter.counts()["evicted"] == 2
    assert not folders(bench)


async def test_a_kernel_that_stands_ready_gets_the_files(localassist_home: Path) -> None:
    async with opened(localassist_home, warm_kernels=1) as bench:
        thread = await bench.thread()
        await bench.run(await bench.thread(), "1")
        await until(lambda: bench.runtime.interpreter.counts()["warm"])
        file = await bench.upload("data.csv", b"a\n1\n")
        started = bench.runtime.interpreter.counts()["started"]
        done = await bench.run(thread, "print(open('data.csv').read())", file)
        assert done.logs.split() == ["a", "1"]
        assert bench.runtime.interpreter.counts()["busy"] == 0
        assert started == 2


async def test_the_verdict_is_that_of_the_isolation(bench: Bench) -> None:
    verdict = await bench.runtime.interpreter.verdict()
    assert verdict.ok and verdict.level == "strong"
    assert bench.runtime.interpreter.verdict_so_far() == verdict


async def test_an_assistant_may_ask_for_less(bench: Bench) -> None:
    thread = await bench.thread()
    done = await bench.run(thread, "import time; time.sleep(60)", wanted={"cell_seconds": 0.5})
    assert done.ending == "timed_out" and done.logs.rstrip().endswith("]")


async def test_threads_do_not_wait_for_each_other(bench: Bench) -> None:
    threads = [await bench.thread() for _ in range(3)]
    done = await asyncio.gather(*(bench.run(t, f"print({n})") for n, t in enumerate(threads)))
    assert [execution.logs.strip() for execution in done] == ["0", "1", "2"]


async def test_a_thread_that_is_deleted_under_its_code_ends_it(bench: Bench) -> None:
    thread = await bench.thread()
    code = "import time\nopen('a', 'w').close()\nprint('begun', flush=True)\ntime.sleep(60)"
    items = bench.runtime.interpreter.execute(P, thread, code, file_ids=[], wanted={})
    await anext(items)
    await bench.runtime.threads.delete(P, thread)
    rest = [item async for item in items]
    assert isinstance(rest[-1], Executed) and rest[-1].execution.ending == "died"
    assert not folders(bench)
