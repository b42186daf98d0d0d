"""``localassist serve``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from localassist.cli.output import console, say_aside

if TYPE_CHECKING:
    from localassist.settings import Settings


def serve(
    context: typer.Context,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.", show_default=False)
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            help="Port to listen on; 0 picks a free one.", min=0, max=65535, show_default=False
        ),
    ] = None,
    api_key: Annotated[
        list[str] | None,
        typer.Option(
            help="Key that callers must present; may be given several times.", show_default=False
        ),
    ] = None,
    allow_unauthenticated_network: Annotated[
        bool,
        typer.Option(
            "--allow-unauthenticated-network",
            help="Serve other machines without a key: whoever reaches the port can do everything.",
        ),
    ] = False,
    log_json: Annotated[
        bool, typer.Option("--log-json", help="Write the log as JSON, one object a line.")
    ] = False,
    log_requests: Annotated[
        bool, typer.Option("--log-requests", help="Log a line for every request.")
    ] = False,
) -> None:
    """Serve the API until Ctrl-C, which lets runs finish; a second Ctrl-C parks them."""
    from pydantic import SecretStr

    from localassist.observability.logs import configure
    from localassist.server.serve import run_server

    settings: Settings = context.obj
    changes: dict[str, Any] = {"host": host, "port": port}
    if api_key:
        changes["api_keys"] = tuple(SecretStr(key) for key in api_key)
    if allow_unauthenticated_network:
        changes["allow_unauthenticated_network"] = True
    changes = {name: value for name, value in changes.items() if value is not None}
    server = settings.server.model_copy(update=changes)
    said = {"format": "json"} if log_json else {}
    log = settings.logging.model_copy(
        update={**said, "requests": log_requests or settings.logging.requests}
    )
    configure(log)
    run_server(settings.model_copy(update={"server": server, "logging": log}), _announce, _say)


def _say(line: str) -> None:
    say_aside(Text(line))


def _announce(base_url: str, is_guarded: bool) -> None:
    # The official clients refuse to start without a key, also when the server asks for none.
    key = "one of the server's keys" if is_guarded else "sk-local"
    console.print(f"Serving the Assistants API at {base_url}", soft_wrap=True)
    console.print("Point any OpenAI client at it:", style="dim")
    console.print(f'  export OPENAI_BASE_URL={base_url} OPENAI_API_KEY="{key}"', soft_wrap=True)
