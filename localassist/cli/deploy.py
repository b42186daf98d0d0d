"""``localassist deploy``: files for those who run it as a service."""

from __future__ import annotations

import getpass
import os
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from localassist.settings import Settings

app = typer.Typer(
    help="Print files that run this installation as a service.",
    no_args_is_help=True,
)


@app.command("systemd")
def systemd(
    context: typer.Context,
    user: Annotated[
        str | None,
        typer.Option(
            help="The user it runs as. By default you, or 'localassist' if you are root.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Print a hardened systemd unit with the paths of this installation and this data folder."""
    from localassist.deploy import systemd_unit

    settings: Settings = context.obj
    if user is None:
        user = "localassist" if os.geteuid() == 0 else getpass.getuser()
    typer.echo(systemd_unit(settings, user), nl=False)


@app.command("container")
def container(
    context: typer.Context,
    source: Annotated[
        Literal["bundle", "checkout"],
        typer.Option("--from", help="What the image is made of."),
    ] = "bundle",
) -> None:
    """Print a Containerfile: two stages, an account without rights, a health check."""
    from localassist.deploy import containerfile

    settings: Settings = context.obj
    typer.echo(containerfile(settings, source), nl=False)
