"""``localassist models optimize``: is a copy with other element types faster here, and as good?

Copies are made in a folder of their own inside the data folder, which goes away whatever happens;
only what is registered or asked for is moved out of it.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from localassist.cli.output import (
    console,
    err_console,
    fail,
    is_interactive,
    new_table,
    report,
    say,
)
from localassist.disk import free_bytes, size

if TYPE_CHECKING:
    from localassist.engine.copies import Comparison, Speed
    from localassist.registry import Catalog, ModelManifest
    from localassist.settings import Settings

_PREFIX = ".optimize-"


def optimize(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A chat model's name.")],
    types: Annotated[
        str, typer.Option(help="Element types to try, separated by commas.")
    ] = "q8_0,q4_0",
    yes: Annotated[
        bool, typer.Option("--yes", help="Register the best copy without asking.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the other copies as files in the data folder.")
    ] = False,
) -> None:
    """Measure whether a re-quantized copy of a model is faster here without being worse."""
    from localassist.engine.copies import best_copy
    from localassist.registry import Catalog
    from localassist.registry.manifest import ServerSource

    settings: Settings = context.obj
    catalog = Catalog(settings.home, settings.models)
    original = catalog.resolve(name, "chat")
    if isinstance(original.source, ServerSource):
        fail(f"{original.id} is computed by another server; there are no weights here to copy.")
    wanted = _types(types, original)
    for file_type in wanted:
        catalog.check_free(_copy_id(original, file_type))
    weights = catalog.locate(original)
    _check_room(settings.home, weights, original, wanted)
    with _workshop(settings.home / "models") as folder:
        copies = dict(_measure(settings, weights, original, wanted, folder))
        if not copies:
            fail(f"No copy of {original.id} could be made and measured.", code=1)
        _print_table(
            original, {kind: (path.stat().st_size, c) for kind, (path, c) in copies.items()}
        )
        best = best_copy((kind, comparison) for kind, (_, comparison) in copies.items())
        if best is None:
            say(f"None is clearly faster and close enough; {original.id} stays as it is.")
        elif yes or _agrees(_copy_id(original, best)):
            path, comparison = copies.pop(best)
            _register(catalog, original, best, path, comparison)
        if keep:
            _keep((path for path, _ in copies.values()), settings.home / "models" / "optimized")


def _types(text: str, original: ModelManifest) -> list[str]:
    """The types to try, each once; the original's own would change nothing."""
    from localassist.engine.copies import BITS_PER_WEIGHT

    named = list(dict.fromkeys(part.strip().lower() for part in text.split(",") if part.strip()))
    for file_type in named:
        if file_type not in BITS_PER_WEIGHT:
            fail(f"`{file_type}` is not an element type; there are {', '.join(BITS_PER_WEIGHT)}.")
    own = (original.quantization or "").lower()
    wanted = [file_type for file_type in named if file_type != own]
    return wanted or fail(f"--types names nothing that {original.id} is not already.")


def _check_room(home: Path, weights: Path, original: ModelManifest, wanted: list[str]) -> None:
    """Refuse before hours are spent. A comparison holds two models, the folder all copies."""
    from localassist.engine.copies import estimate_bytes, needed_memory
    from localassist.engine.machine import free_memory_bytes

    size_bytes = weights.stat().st_size
    copies = [estimate_bytes(size_bytes, original.quantization, kind) for kind in wanted]
    memory, free_memory = needed_memory(size_bytes, max(copies)), free_memory_bytes()
    if free_memory is not None and memory > free_memory:
        fail(
            f"{original.id} is too large to be compared with a copy: that takes about "
            f"{size(memory)} of memory, and {size(free_memory)} are free."
        )
    free_disk = free_bytes(home)
    if sum(copies) > free_disk:
        fail(
            f"The copies take about {size(sum(copies))}, and {size(free_disk)} are free in {home}."
        )


@contextmanager
def _workshop(models: Path) -> Iterator[Path]:
    """A folder beside the models that is removed at the end, also when the end is a signal; what a
    killed process left there is removed as well."""
    from localassist.errors import StorageUnavailable
    from localassist.registry.weights import make_folder

    try:
        make_folder(models)
        for left in models.glob(f"{_PREFIX}*"):
            if _is_abandoned(left):
                shutil.rmtree(left, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=models))
    except OSError as error:
        raise StorageUnavailable(f"{models} cannot be written: {error.strerror}.") from error
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield folder
    finally:
        signal.signal(signal.SIGTERM, previous)
        shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    """Whether the process that made the folder is gone."""
    number = folder.name.removeprefix(_PREFIX).partition("-")[0]
    if not number.isdigit() or int(number) == os.getpid():
        return False
    if not Path("/proc/self").exists():
        return False  # where nobody can say, it may be at work
    return not Path(f"/proc/{number}").exists()


def _measure(
    settings: Settings, weights: Path, original: ModelManifest, wanted: list[str], folder: Path
) -> Iterator[tuple[str, tuple[Path, Comparison]]]:
    """Make and compare one copy after the other; one that fails does not end the others."""
    from localassist.engine.copies import compare, make_copy
    from localassist.errors import ModelLoadFailed

    for file_type in wanted:
        path = folder / f"{_copy_id(original, file_type)}.gguf"
        try:
            with err_console.status(f"Writing {path.name} …"):
                make_copy(weights, path, file_type)
            with err_console.status(f"Comparing {path.name} with {original.id} …"):
                comparison = compare(weights, path, settings.engine, settings.home / "cache")
        except ModelLoadFailed as error:
            report(error.message)
            continue
        yield file_type, (path, comparison)


def _print_table(original: ModelManifest, copies: dict[str, tuple[int, Comparison]]) -> None:
    table = new_table()
    table.add_column("weights")
    headings = ("size", "prefill", "decode", "decode of 8", "perplexity", "agreement", "divergence")
    for heading in (*headings, "pays"):
        table.add_column(heading, justify="right")
    for index, (file_type, (size_bytes, found)) in enumerate(copies.items()):
        if index == 0:
            own = original.quantization or "original"
            speeds = [f"{value:,.0f}" for value in _values(found.original)]
            table.add_row(
                own, size(original.size_bytes), *speeds, f"{found.perplexity:.2f}", "", "", ""
            )
        pairs = zip(_values(found.copy), found.gains, strict=True)
        table.add_row(
            file_type.upper(),
            size(size_bytes),
            *(f"{value:,.0f} ×{gain:.2f}" for value, gain in pairs),
            f"{found.copy_perplexity:.2f}",
            f"{found.agreement:.1%}",
            f"{found.divergence:.4f}",
            "yes" if found.pays else "no",
        )
    console.print(table)
    say("Tokens a second; × is against the original, timed in turn with that copy.")
    if not all(found.was_quiet for _, found in copies.values()):
        report("Other programs used the processor meanwhile; a quiet machine may show otherwise.")


def _values(speed: Speed) -> tuple[float, float, float]:
    return speed.prefill, speed.decode, speed.decode_several


def _agrees(model_id: str) -> bool:
    if is_interactive():
        return typer.confirm(f"Register the best as {model_id}?")
    say(f"With --yes the best is registered as {model_id}.")
    return False


def _register(
    catalog: Catalog, original: ModelManifest, file_type: str, path: Path, found: Comparison
) -> None:
    prefill, decode, several = found.gains
    note = (
        f"{original.id} re-quantized to {file_type.upper()}: prefill ×{prefill:.2f}, decode "
        f"×{decode:.2f}, of eight ×{several:.2f}, agreement {found.agreement:.1%} where measured"
    )
    model = catalog.add_copy(
        path, original, model_id=_copy_id(original, file_type), description=note
    )
    say(f"Registered {model.id}.")
    say(f"Use it by that name, or for every hosted name: localassist models default {model.id}")


def _keep(paths: Iterator[Path], folder: Path) -> None:
    from localassist.registry.weights import move_file

    for path in paths:
        move_file(path, folder / path.name)
        say(f"Kept {folder / path.name}")


def _copy_id(original: ModelManifest, file_type: str) -> str:
    return f"{original.id}-{file_type}"[:128]
