"""``localassist bundle``: everything on one disk, for machines without a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from localassist.cli.output import (
    EXIT_FAILURE,
    EXIT_INTERRUPTED,
    bytes_bar,
    console,
    fail,
    is_interactive,
    new_table,
    progress_bar,
    report,
    say,
)
from localassist.disk import free_bytes, sha256_of, size
from localassist.errors import BundleError

if TYPE_CHECKING:
    from localassist.bundle.models import PackedModel
    from localassist.bundle.plan import Plan, Request
    from localassist.bundle.targets import Target
    from localassist.bundle.verify import Verified
    from localassist.settings import Settings

app = typer.Typer(help="Carry localassist to machines without a network.", no_args_is_help=True)


@app.command("create")
def create(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", help="The bundle to make, a .tar file.")],
    models: Annotated[
        list[str] | None,
        typer.Option(help="A model you added, to be packed too; may be given again."),
    ] = None,
    python: Annotated[
        list[str] | None,
        typer.Option(
            help="The target's Python, such as 3.11; may be given again. By default this one's."
        ),
    ] = None,
    platform: Annotated[
        list[str] | None,
        typer.Option(
            help="linux_x86_64 or linux_aarch64; may be given again. By default this machine's."
        ),
    ] = None,
    cpu: Annotated[
        list[str] | None,
        typer.Option(
            help="What llama.cpp is compiled for: x86-64-v2, -v3, -v4, armv8-a, armv8.2-a or "
            "native; may be given again, for another platform. By default x86-64-v3 and armv8.2-a."
        ),
    ] = None,
    glibc: Annotated[
        str,
        typer.Option(
            help="The oldest C library of the targets, such as 2.31. By default the oldest that "
            "all packages are published for.",
            show_default=False,
        ),
    ] = "",
    no_kernel: Annotated[
        bool, typer.Option("--no-kernel", help="Leave out the code interpreter's packages.")
    ] = False,
    wheels: Annotated[
        list[Path] | None,
        typer.Option(help="A folder of wheels to take before all others; may be given again."),
    ] = None,
    include: Annotated[
        list[Path] | None,
        typer.Option(help="A file to carry along, such as a .deb; may be given again."),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option("--sign", help="Sign with this SSH key.", show_default=False),
    ] = None,
    torch_index: Annotated[
        str, typer.Option(help="Where PyTorch without CUDA is, if pip's own indexes have none.")
    ] = "https://download.pytorch.org/whl/cpu",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Pack wheels, models and an installer into one file. Uses the network, by way of pip."""
    from localassist.bundle.plan import Request

    settings: Settings = context.obj
    with _explained(out):
        request = Request(
            out=out.absolute(),
            targets=_targets(platform or [], python or [], glibc, cpu or []),
            with_kernel=not no_kernel,
            models=tuple(_models(settings, models or [])),
            wheels=tuple(_check_folder(folder) for folder in wheels or ()),
            extra=_check_extra(include or []),
            key=key,
            torch_index=torch_index,
        )
        _check_out(request)
        _create(request, settings.home / "cache" / "bundle", is_agreed=yes)


@app.command("verify")
def verify(
    path: Annotated[Path, typer.Argument(help="A bundle, or the folder it was unpacked to.")],
    signers: Annotated[
        Path | None,
        typer.Option(
            help="Require a signature by somebody whom this file of ssh-keygen's lists.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Check every byte of a bundle, and say what it holds."""
    from localassist.bundle.verify import verify as check

    if not path.exists():
        fail(f"{path} does not exist.")
    try:
        with _bytes_bar("Verifying") as progress:
            verified = check(path, signers=signers, progress=progress)
    except BundleError as error:
        fail(error.message, EXIT_FAILURE)
    _show(verified)


def _create(request: Request, cache: Path, *, is_agreed: bool) -> None:
    from localassist.bundle import own_wheel
    from localassist.bundle.create import check_space, create
    from localassist.bundle.plan import make_plan

    report("packing localassist itself")
    own = own_wheel.make_own_wheel(request.part / "own")
    plan = make_plan(request, own, cache, report)
    _show_plan(plan)
    check_space(plan)
    if not is_agreed and not _agrees(request.out):
        fail(f"nothing was packed; what was found is kept in {request.part}", EXIT_FAILURE)
    count = len({item.filename for group in ("wheels", "kernel") for item in plan.items(group)})
    with progress_bar() as bar:
        task = bar.add_task("Fetching", total=count)

        def on_bytes(written: int) -> None:
            if bar.tasks[0].description != "Packing":
                bar.reset(task, total=None, description="Packing")
            bar.update(task, advance=written)

        def on_item(name: str) -> None:
            bar.update(task, advance=1, description=name.partition("-")[0])

        verified = create(plan, own, cache, say=report, on_item=on_item, on_bytes=on_bytes)
    _show(verified)
    say(f"{request.out} is made ({size(request.out.stat().st_size)}).")
    say(f"Its SHA-256, to be carried by another way: {sha256_of(request.out)}")
    say("On the other machine: sha256sum and tar xf it, then ./install.sh in its folder.")


def _show_plan(plan: Plan) -> None:
    from localassist.bundle.create import group_sizes, to_be_compiled

    table = new_table()
    table.add_column("what", overflow="fold")
    for heading in ("files", "size"):
        table.add_column(heading, justify="right")
    groups = group_sizes(plan)
    for group in groups:
        table.add_row(group.name, str(group.count), _at_least(group.size_bytes, group.is_complete))
    is_complete = all(group.is_complete for group in groups)
    total = sum(group.size_bytes for group in groups)
    table.add_row("in all", str(sum(g.count for g in groups)), _at_least(total, is_complete))
    free = free_bytes(plan.request.out.parent)
    table.add_row("free disk", "", size(free))
    console.print(table)
    if level := to_be_compiled(plan):
        say(f"llama.cpp is still to be compiled for {level} (25 MB, some minutes).")


def _show(verified: Verified) -> None:
    manifest = verified.manifest
    say(f"localassist {manifest.localassist}, bundle {verified.id}: as it was made.")
    for target in manifest.targets:
        kernel = "with" if target.has_kernel else "without"
        needs = f", glibc {target.glibc} or newer" if target.glibc else ""
        say(
            f"for {target.platform}, Python {target.python}{needs}, processor {target.cpu}; "
            f"{kernel} the code interpreter"
        )
    for group in ("wheels", "kernel", "models", "docs", "licences", "extra"):
        count = sum(file.group == group for file in manifest.files)
        if count:
            say(f"{group:<9} {count:>4} files  {size(manifest.size_of(group)):>9}")
    if manifest.models:
        say(f"models: {', '.join(manifest.models)}")
    signed = f"by {verified.signer}" if verified.signer else "(by whom was not asked: --signers)"
    say(f"signed {signed}" if verified.is_signed else "not signed")


def _targets(
    platforms: list[str], pythons: list[str], glibc: str, cpus: list[str]
) -> tuple[Target, ...]:
    from localassist.bundle.machine import this_machine
    from localassist.bundle.targets import choose_targets

    here = this_machine()
    return choose_targets(platforms or [here.platform], pythons or [here.python], glibc, cpus)


def _models(settings: Settings, names: list[str]) -> list[PackedModel]:
    if not names:
        return []
    from localassist.bundle.models import choose_models
    from localassist.registry import Catalog

    with _bytes_bar("Checking models") as progress:
        return choose_models(Catalog(settings.home, settings.models), names, progress)


def _check_folder(folder: Path) -> Path:
    if not folder.is_dir():
        fail(f"--wheels {folder} is not a folder.")
    return folder.absolute()


def _check_extra(files: list[Path]) -> tuple[Path, ...]:
    for path in files:
        if not path.is_file():
            fail(f"--include {path} is not a file.")
    if len({path.name for path in files}) < len(files):
        fail("Two files of --include have the same name.")
    return tuple(path.absolute() for path in files)


def _check_out(request: Request) -> None:
    if request.out.exists():
        fail(f"{request.out} is there already; give another name, or remove it.")
    if not request.out.parent.is_dir():
        fail(f"{request.out.parent} is not a folder.")
    if request.key is not None and not request.key.is_file():
        fail(f"--sign {request.key} is not a file.")


def _agrees(out: Path) -> bool:
    if not is_interactive():
        fail("Nobody is there to be asked; say --yes.")
    return typer.confirm(f"Make {out}?", default=True)


@contextmanager
def _explained(out: Path) -> Iterator[None]:
    """What stops the making of a bundle, in a line, and what is left of it."""
    part = out.with_name(f"{out.name}.part")
    try:
        yield
    except BundleError as error:
        fail(error.message, EXIT_FAILURE)
    except OSError as error:
        fail(f"{error.filename or out}: {error.strerror}.", EXIT_FAILURE)
    except KeyboardInterrupt:
        fail(
            f"Stopped. What is complete is kept in {part}; call again to go on.",
            EXIT_INTERRUPTED,
        )


@contextmanager
def _bytes_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar of bytes on stderr, for a person; it appears with the first bytes."""
    with bytes_bar() as bar:
        task = bar.add_task(what, total=None, visible=False)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)


def _at_least(size_bytes: int, is_complete: bool) -> str:
    return size(size_bytes) if is_complete else f"at least {size(size_bytes)}"
