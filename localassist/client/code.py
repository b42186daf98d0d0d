"""``localassist.sandbox.run_code`` and ``open_kernel``: code in isolation, from a program.

With the settings of whoever runs the program, unless it brings its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from os import PathLike
from pathlib import Path

from localassist.client.bridge import LoopThread
from localassist.sandbox import running
from localassist.sandbox.running import OpenKernel, Result
from localassist.settings import Settings, load_settings


@asynccontextmanager
async def open_kernel(
    *,
    inputs: Iterable[str | PathLike[str]] = (),
    settings: Settings | None = None,
    **limits: float,
) -> AsyncIterator[OpenKernel]:
    """A kernel for as long as the block runs; it keeps its variables between pieces of code.

    Args:
        inputs: files, copied to ``/mnt/data``, under their names.
        settings: what ``load_settings`` returns; by default that of file and environment.
        limits: lower than the settings', by name: ``cell_seconds``, ``memory_mb``, ``disk_mb``,
            ``files``, ``processes``, ``output_characters``, ``images``, ``output_files``.

    Raises ConfigError for a limit that does not exist or is above the settings', SandboxUnavailable
    where code cannot be isolated, KernelStartFailed, and OSError for a file that cannot be read.
    """
    settings = settings or load_settings()
    given = [Path(file) for file in inputs]
    opened = running.open_kernel(settings.sandbox, settings.home, inputs=given, wanted=limits)
    async with opened as kernel:
        yield kernel


def run_code(
    code: str,
    *,
    inputs: Iterable[str | PathLike[str]] = (),
    settings: Settings | None = None,
    **limits: float,
) -> Result:
    """Run code in a kernel of its own, which ends with it. See ``open_kernel``. What the code does
    is in the result, not an exception."""

    async def run() -> Result:
        async with open_kernel(inputs=inputs, settings=settings, **limits) as kernel:
            return await kernel.run(code)

    # On a thread of its own: the caller may be inside an event loop, as in a notebook.
    loop = LoopThread("localassist-code")
    try:
        return loop.call(run())
    finally:
        loop.close()
