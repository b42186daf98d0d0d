"""``localassist models pull``: the one command that fetches something over a network."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from localassist.cli.output import (
    EXIT_FAILURE,
    EXIT_INTERRUPTED,
    bytes_bar,
    console,
    fail,
    new_table,
    report,
    say,
)
from localassist.disk import size

if TYPE_CHECKING:
    from localassist.registry.pull.listing import Listing
    from localassist.registry.pull.pulling import Pull, Pulled
    from localassist.settings import Settings


_CHECKED = {
    "hub": "which is the hub's sum",
    "file": "which is the sum beside the file",
    "option": "which is the sum you gave",
    "nobody": "compared with nothing: the place names no sum, and none was given with --sha256",
}


def pull(
    context: typer.Context,
    place: Annotated[
        str,
        typer.Argument(help="owner/repo, hf:owner/repo/file.gguf, or an address: https://…"),
    ],
    file: Annotated[
        str | None, typer.Option(help="Which file, where there are several.", show_default=False)
    ] = None,
    quant: Annotated[
        str | None,
        typer.Option(help="Which quantization, for instance Q4_K_M.", show_default=False),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the model; by default the file's.", show_default=False),
    ] = None,
    sha256: Annotated[
        str | None, typer.Option(help="The SHA-256 that the file must have.", show_default=False)
    ] = None,
    mirror: Annotated[
        str | None,
        typer.Option(help="Another hub than the setting models.hub_url.", show_default=False),
    ] = None,
    token_env: Annotated[
        str | None,
        typer.Option(
            help="The variable that holds an access token; for the public hub HF_TOKEN.",
            show_default=False,
        ),
    ] = None,
    listing_only: Annotated[
        bool, typer.Option("--list", help="List the files and download nothing.")
    ] = False,
) -> None:
    """Download a model from a hub or mirror into the data folder. Continues where it stopped."""
    from localassist.errors import DownloadFailed, StorageUnavailable
    from localassist.offline import unseal
    from localassist.registry import Catalog
    from localassist.registry.pull.listing import look
    from localassist.registry.pull.place import parse_place
    from localassist.registry.pull.pulling import Pull, hub_of, open_web

    settings: Settings = context.obj
    wanted = parse_place(place)
    hub_url = hub_of(settings.models, mirror)
    unseal()  # the user has asked for a download, wherever it is redirected to
    try:
        with open_web(wanted, hub_url, settings.models, token_env, os.environ, report) as web:
            listing = look(web, wanted, hub_url)
            offer = None if listing_only else listing.choose(file, quant)
            if offer is None:
                _show(listing)
                if not listing_only:
                    fail("There are several files; choose one with --quant or --file.")
                return
            pulling = Pull(
                Catalog(settings.home, settings.models),
                web,
                listing,
                offer,
                model_id=name,
                sha256=sha256,
                say=report,
            )
            _tell(_watched(pulling))
    except (DownloadFailed, StorageUnavailable) as error:
        fail(error.message, EXIT_FAILURE)
    except KeyboardInterrupt:
        fail("Stopped; no model was added.", EXIT_INTERRUPTED)


def _show(listing: Listing) -> None:
    table = new_table()
    table.add_column("file", overflow="fold")
    for heading in ("size", "quantization"):
        table.add_column(heading, justify="right")
    for offer in listing.offers:
        table.add_row(Text(offer.name), _size(offer.size_bytes), Text(offer.quantization))
    console.print(table)
    for name in listing.left_out:
        report(f"{name} is an image projector, not a model by itself; it is left out.")


def _watched(pulling: Pull) -> Pulled:
    """Run it behind a progress bar; when it ends early, say what is kept and how to go on."""
    from localassist.errors import DownloadFailed

    if pulling.known is None:
        held = f", of which {size(pulling.held_bytes)} are here" if pulling.held_bytes else ""
        report(f"Fetching {pulling.model_id}: {_size(pulling.size_bytes) or 'size unknown'}{held}.")
    try:
        with bytes_bar() as bar:
            task = bar.add_task(pulling.model_id, total=pulling.size_bytes)
            return pulling.run(
                lambda done, total: bar.update(task, completed=done, total=total or None)
            )
    except KeyboardInterrupt:
        fail(f"Stopped.{_kept(pulling)}", EXIT_INTERRUPTED)
    except DownloadFailed as error:
        fail(f"{error.message}{_kept(pulling)}", EXIT_FAILURE)


def _kept(pulling: Pull) -> str:
    if not pulling.held_bytes:
        return ""
    return (
        f" {size(pulling.held_bytes)} of {_size(pulling.size_bytes) or 'it'} are kept: give the "
        f"same command again to go on, or delete {pulling.folder}."
    )


def _tell(pulled: Pulled) -> None:
    model = pulled.manifest
    if not pulled.is_new:
        say(f"{model.id} is here already.")
        return
    lines = [
        f"Added {model.id} ({size(model.size_bytes)}, licence {model.licence}).",
        f"SHA-256 {model.sha256}, {_CHECKED[pulled.checked_by]}.",
        f"Try it out: localassist models check {model.id}",
        f"Use it for every hosted name: localassist models default {model.id}",
    ]
    for line in lines:
        say(line)


def _size(size_bytes: int | None) -> str:
    return "" if size_bytes is None else size(size_bytes)
