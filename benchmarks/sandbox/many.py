"""What do many kernels at once take, in time and memory?

All are started at the same time, load pandas, answer, and stay. Memory is that of all their
processes, what they share counted once.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

from benchmarks import common
from benchmarks.subjects.kernels import BARE, Kernels, Subject, own_memory_mb

QUESTION = "What do many kernels at once take, in time and memory?"


async def measure(kernels: Kernels, name: str, count: int) -> common.Row:
    async with AsyncExitStack() as stack:

        async def one() -> Subject:
            kernel = await stack.enter_async_context(kernels.started(name))
            await kernel.run("import numpy, pandas")
            return kernel

        begin = time.perf_counter()
        started = await asyncio.gather(*(one() for _ in range(count)))
        ready = time.perf_counter() - begin
        times = []
        for kernel in started:
            begin = time.perf_counter()
            await kernel.run("1 + 1")
            times.append(time.perf_counter() - begin)
        memory = sum(map(own_memory_mb, started))
    return {
        "all ready s": ready,
        "1+1 ms": 1000 * common.median(times),
        "MB": memory,
        "MB per kernel": memory / count,
    }


def main() -> None:
    options = common.options(QUESTION, repeats=3)
    kernels = Kernels(smoke=True)
    count = 2 if options.smoke else 20
    readings: dict[str, list[common.Row]] = {name: [] for name in kernels.names}
    for _, name in common.in_turns(kernels.names, options.repeats):
        readings[name].append(asyncio.run(measure(kernels, name, count)))

    def all_of(name: str, column: str) -> list[float]:
        return [row[column] for row in readings[name]]

    rows: list[common.Row] = [
        {
            "subject": name,
            "kernels": count,
            **{column: common.spread(all_of(name, column)) for column in readings[BARE][0]},
            "ready / bare": common.ratio(all_of(name, "all ready s"), all_of(BARE, "all ready s")),
            "MB / bare": common.ratio(all_of(name, "MB"), all_of(BARE, "MB")),
        }
        for name in kernels.names
    ]
    common.report(QUESTION, rows, environment=kernels.record())


if __name__ == "__main__":
    main()
