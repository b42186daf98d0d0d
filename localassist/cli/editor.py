"""A text changed in the user's editor, which is not lost when something is wrong with it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from localassist.cli.output import EXIT_FAILURE, fail
from localassist.errors import ConfigError

T = TypeVar("T")


def edited(text: str, suffix: str, read: Callable[[str], T]) -> T:
    """What ``read`` makes of the text when the editor was closed. Ends the command where there is
    no editor, it fails, or ``read`` raises ConfigError; what was written is kept then, and named.
    """
    if not sys.stdin.isatty():
        fail("There is no terminal for an editor; use options to say what to change.")
    command = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    handle, name = tempfile.mkstemp(prefix="localassist-", suffix=suffix, text=True)
    path = Path(name)
    with open(handle, "w", encoding="utf-8") as file:
        file.write(text)
    try:
        code = subprocess.run([*shlex.split(command), name]).returncode
    except OSError as error:
        path.unlink()
        fail(f"The editor '{command}' cannot be started: {error.strerror}. Set $EDITOR.")
    if code != 0:
        fail(f"The editor ended with code {code}; what you wrote is in {path}.", EXIT_FAILURE)
    try:
        value = read(path.read_text(encoding="utf-8"))
    except (ConfigError, UnicodeDecodeError) as error:
        said = error.message if isinstance(error, ConfigError) else "it is not UTF-8 text."
        fail(f"{said} What you wrote is in {path}.")
    path.unlink()
    return value
