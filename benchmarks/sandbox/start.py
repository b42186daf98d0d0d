"""What does isolation cost a kernel: until its first result, per piece of code, and in memory?

Nothing is preloaded. The limit is a bare ipykernel that jupyter_client starts in the same Python
environment, asked in the same way.
"""

from __future__ import annotations

import asyncio
import time

from benchmarks import common
from benchmarks.subjects.kernels import BARE, Kernels, own_memory_mb

QUESTION = "What does isolation cost a kernel: to its first result, per piece of code, in memory?"
Readings = dict[str, list[float]]


async def measure(kernels: Kernels, name: str, trips: int) -> common.Row:
    begin = time.perf_counter()
    async with kernels.started(name) as kernel:
        await kernel.run("1 + 1")
        first = time.perf_counter() - begin
        times = []
        for _ in range(trips):
            begin = time.perf_counter()
            await kernel.run("1 + 1")
            times.append(time.perf_counter() - begin)
        memory = own_memory_mb(kernel)
        begin = time.perf_counter()
    return {
        "first result ms": 1000 * first,
        "1+1 ms": 1000 * common.median(times),
        "p95 ms": 1000 * common.percentile(times, 95),
        "close ms": 1000 * (time.perf_counter() - begin),
        "MB": memory,
    }


def main() -> None:
    options = common.options(QUESTION, repeats=10)
    kernels = Kernels(smoke=options.smoke)
    readings: dict[str, list[common.Row]] = {name: [] for name in kernels.names}
    if not options.smoke:  # files into the page cache
        for name in kernels.names:
            asyncio.run(measure(kernels, name, 1))
    for _, name in common.in_turns(kernels.names, options.repeats):
        readings[name].append(asyncio.run(measure(kernels, name, 5 if options.smoke else 100)))

    def all_of(name: str, column: str) -> list[float]:
        return [row[column] for row in readings[name]]

    rows: list[common.Row] = [
        {
            "subject": name,
            **{column: common.spread(all_of(name, column)) for column in readings[BARE][0]},
            "first / bare": common.ratio(
                all_of(name, "first result ms"), all_of(BARE, "first result ms")
            ),
            "1+1 / bare": common.ratio(all_of(name, "1+1 ms"), all_of(BARE, "1+1 ms")),
            "MB / bare": common.ratio(all_of(name, "MB"), all_of(BARE, "MB")),
        }
        for name in kernels.names
    ]
    common.report(QUESTION, rows, environment=kernels.record())


if __name__ == "__main__":
    main()
