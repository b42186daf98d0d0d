"""``localassist sandbox exec``: a file of code in isolation, its output printed and saved."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from itertools import count
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from localassist.cli.chat.code import created
from localassist.cli.output import EXIT_FAILURE, EXIT_INTERRUPTED, fail, report

if TYPE_CHECKING:
    from localassist.sandbox.outputs import CellStatus, Image
    from localassist.sandbox.running import OpenKernel
    from localassist.settings import Settings

_EXIT_STOPPED = 3


def execute(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="Python code; - reads it from standard input.")],
    inputs: Annotated[
        list[Path] | None,
        typer.Option(
            "--with",
            help="A file that the code finds in /mnt/data; may be repeated.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Where images and files go; nothing there is overwritten.")
    ] = Path("outputs"),
    seconds: Annotated[
        float | None, typer.Option(help="How long it may run.", show_default=False)
    ] = None,
    memory_mb: Annotated[
        int | None, typer.Option(help="Memory it may use.", show_default=False)
    ] = None,
    disk_mb: Annotated[
        int | None, typer.Option(help="How much it may write to disk.", show_default=False)
    ] = None,
    processes: Annotated[
        int | None, typer.Option(help="Processes and threads it may have.", show_default=False)
    ] = None,
    provider: Annotated[
        str | None,
        typer.Option(help="Provider to use instead of `sandbox.provider`.", show_default=False),
    ] = None,
) -> None:
    """Run Python code in isolation from this machine, within the limits of the settings.

    Exit code 1: the code has failed. 3: it was stopped, or its kernel has died.
    """
    from localassist.sandbox.running import open_kernel

    settings = with_provider(context.obj, provider)
    code = _read(file)
    asked = {
        "cell_seconds": seconds,
        "memory_mb": memory_mb,
        "disk_mb": disk_mb,
        "processes": processes,
    }
    wanted = {name: value for name, value in asked.items() if value is not None}

    async def run() -> CellStatus:
        opened = open_kernel(settings.sandbox, settings.home, inputs=inputs or (), wanted=wanted)
        async with opened as kernel:
            return await _run(kernel, code, _Saver(out))

    try:
        status = asyncio.run(run())
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except BrokenPipeError:
        raise  # whoever read has had enough; the last line of defence knows
    except OSError as error:
        fail(f"{error.filename or out}: {error.strerror}.")
    if status != "ok":
        raise typer.Exit(EXIT_FAILURE if status == "error" else _EXIT_STOPPED)


def with_provider(settings: Settings, provider: str | None) -> Settings:
    """The settings with another provider. Ends the command if there is none of that name."""
    if provider is None:
        return settings
    from localassist.sandbox.providers import PROVIDERS

    names = ("auto", *PROVIDERS)
    if provider not in names:
        fail(f"There is no provider '{provider}'; there are {', '.join(names)}.")
    sandbox = settings.sandbox.model_copy(update={"provider": provider})
    return settings.model_copy(update={"sandbox": sandbox})


def _read(file: str) -> str:
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}.")
    except UnicodeDecodeError:
        fail(f"{'Standard input' if file == '-' else file} is not UTF-8.")


async def _run(kernel: OpenKernel, code: str, saver: _Saver) -> CellStatus:
    from localassist.sandbox.outputs import CellEnded, Image, Logs

    ended = CellEnded("died")
    async with aclosing(kernel.execute(code)) as outputs:
        async for output in outputs:
            if isinstance(output, Logs):
                _write(output.text)
            elif isinstance(output, Image):
                saver.save_image(output)
            else:
                ended = output
    if ended.notice is not None:
        report(ended.notice)
    written = await kernel.written()
    for path in written.paths:
        saver.save_file(kernel, path)
    for notice in written.notices:
        report(notice)
    return ended.status


def _write(text: str) -> None:
    """To a file or another program as it is; to a terminal so that code cannot act on it."""
    if sys.stdout.isatty():
        from localassist.cli.display import cleaned

        text = cleaned(text)
    sys.stdout.write(text)
    sys.stdout.flush()


class _Saver:
    """Writes what code has made into a folder, and says so."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._images = count(1)

    def save_image(self, image: Image) -> None:
        name = f"image-{next(self._images)}{image.suffix}"
        with self._created((name,)) as target:
            target.write(image.data)

    def save_file(self, kernel: OpenKernel, path: str) -> None:
        from localassist.sandbox.files import NotKept
        from localassist.sandbox.names import readable, safe_name

        # Names are the code's: each part becomes one that is a plain file's.
        parts = tuple(safe_name(part) for part in PurePosixPath(path).parts)
        try:
            with kernel.opened(path) as output, self._created(parts) as target:
                for chunk in output.chunks():
                    target.write(chunk)
        except NotKept as error:
            report(f"not saved: {readable(path)} ({error})")

    def _created(self, parts: tuple[str, ...]) -> BinaryIO:
        *folders, name = parts
        path, target = created(self._folder.joinpath(*folders), name)
        report(f"saved {path}")
        return target
