"""How soon does a thread's first code know what is in its CSV?

From asking for a kernel to the end of `pandas.read_csv(...).describe()`: with one that stands ready
and has pandas loaded; with the first one of a service, which finds out whether isolation works and
loads what it preloads; and with a bare ipykernel that is new.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from contextlib import aclosing
from pathlib import Path

from benchmarks import common
from benchmarks.subjects.kernels import BARE, Kernels
from localassist.sandbox.files import opened_folder, put_file
from localassist.sandbox.limits import Limits
from localassist.sandbox.outputs import CellEnded
from localassist.sandbox.session import Session
from localassist.sandbox.sessions import Sessions

QUESTION = "How soon does a thread's first code know what is in its CSV?"
WARM, COLD = "localassist, warm", "localassist, cold"
LINES = 1000


async def with_sessions(kernels: Kernels, csv: Path, *, warm: bool) -> float:
    settings = kernels.sandbox.model_copy(update={"warm_kernels": int(warm)})
    limits = Limits.of(settings)
    with tempfile.TemporaryDirectory() as home:
        sessions = Sessions(settings, Path(home))
        try:
            if warm:
                async with sessions.lease("earlier", limits):
                    pass  # from the first use on, kernels are made ready
                while True:
                    await asyncio.sleep(0.05)
                    if sessions.counts()["warm"]:
                        break
            begin = time.perf_counter()
            async with sessions.lease("thread", limits) as session:
                give(session, csv)
                async with aclosing(session.kernel.execute(code(csv.name))) as outputs:
                    async for output in outputs:
                        if isinstance(output, CellEnded) and output.status != "ok":
                            raise RuntimeError(output.status)
                return time.perf_counter() - begin
        finally:
            await sessions.close()


def give(session: Session, csv: Path) -> None:
    with opened_folder(session.data) as folder:
        owner = os.fstat(folder).st_uid if os.geteuid() == 0 else None
        put_file(folder, csv.name, csv, owner=owner)


async def with_bare(kernels: Kernels, csv: Path) -> float:
    begin = time.perf_counter()
    async with kernels.started(BARE) as kernel:
        await kernel.run(code(str(csv)))
        return time.perf_counter() - begin


def code(path: str) -> str:
    return f"import pandas\npandas.read_csv({path!r}).describe()"


def main() -> None:
    options = common.options(QUESTION, repeats=10)
    kernels = Kernels(smoke=True)
    readings: dict[str, list[float]] = {name: [] for name in (WARM, COLD, BARE)}
    with tempfile.TemporaryDirectory() as folder:
        csv = Path(folder, "sales.csv")
        rows_of_csv = (f"{n % 12 + 1},{n * 7 % 101},{n / 3:.2f}" for n in range(LINES))
        csv.write_text("\n".join(["month,units,price", *rows_of_csv]) + "\n")
        for _, name in common.in_turns(list(readings), options.repeats):
            if name == BARE:
                seconds = asyncio.run(with_bare(kernels, csv))
            else:
                seconds = asyncio.run(with_sessions(kernels, csv, warm=name == WARM))
            readings[name].append(1000 * seconds)
    rows: list[common.Row] = [
        {
            "kernel": name,
            "first result ms": common.spread(values),
            "of bare": common.ratio(values, readings[BARE]),
        }
        for name, values in readings.items()
    ]
    common.report(QUESTION, rows, environment=kernels.record())


if __name__ == "__main__":
    main()
