"""The options that `chat` and `ask` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from localassist.cli.completion import assistant_names, model_names

Assistant = Annotated[
    str | None,
    typer.Option(
        "--assistant",
        "-a",
        help="Saved assistant, by name or id.",
        show_default=False,
        autocompletion=assistant_names,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(help="Model that answers.", show_default=False, autocompletion=model_names),
]
System = Annotated[str | None, typer.Option(help="Instructions for the model.", show_default=False)]
Temperature = Annotated[
    float | None,
    typer.Option(help="0 is repeatable, 2 is wild.", min=0, max=2, show_default=False),
]
Docs = Annotated[
    Path | None,
    typer.Option(help="Folder whose documents are to answer.", show_default=False),
]
Code = Annotated[bool, typer.Option("--code", help="Let the model run Python in a sandbox.")]
