"""Does flash attention pay on a processor, and for which steps?

The same steps with and without it, at the end of a long conversation: one token, a few rows (the
next turn of a chat), a whole batch. One thread and its processor time, which other programs on the
machine disturb least.
"""

from __future__ import annotations

from time import process_time

from benchmarks import common
from benchmarks.subjects.bare import BareLoop

QUESTION = "Does flash attention pay on a processor, and for which steps?"


def main() -> None:
    options = common.options(QUESTION, repeats=3)
    depth, sizes = (128, (1, 8)) if options.smoke else (1350, (1, 8, 31, 63, 64, 128, 512))
    model = common.embedded_model()
    loops = {
        flash: BareLoop(
            model.path,
            extra_buffers=model.measured["use_extra_buffers"] == "on",
            sequences=1,
            threads=1,
            flash_attention=flash,
        )
        for flash in (False, True)
    }
    for loop in loops.values():
        loop.prefill([depth])
    rows: list[common.Row] = []
    for size in sizes:
        seconds: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(options.repeats):
            for flash, loop in loops.items():
                started = process_time()
                loop.prefill([depth + size], known=depth)
                seconds[flash].append(process_time() - started)
        plain, flashed = common.median(seconds[False]), common.median(seconds[True])
        rows.append(
            {
                "rows in the step": size,
                "behind tokens": depth,
                "without ms": plain * 1000,
                "with ms": flashed * 1000,
                "with / without": flashed / plain,
            }
        )
    for loop in loops.values():
        loop.close()
    common.report(QUESTION, rows, environment=common.environment(model))


if __name__ == "__main__":
    main()
