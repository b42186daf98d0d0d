"""The Python environment that kernels run in: where it is, and whether it can be used.

It is a virtual environment of its own, at the same path inside the isolation and outside, and
read-only inside. What is installed in it stands in ``requirements.txt`` of the guest side and in
the setting ``sandbox.packages``; ``building`` makes it. Nothing of it is ever imported here.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from localassist.disk import existing
from localassist.errors import SandboxUnavailable
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.guest import guest_folder

MATPLOTLIB_CACHE = Path("share/localassist/matplotlib")
"""Below the environment: what matplotlib found out about fonts, to be copied into a kernel's
``MPLCONFIGDIR`` before matplotlib is imported. May be missing; then the first plot is slower."""

STAMP = "localassist.json"
"""In an environment that was built here: what it was built from."""

BUILD = "localassist sandbox build"


@dataclass(frozen=True, slots=True)
class Environment:
    """``python_base`` is the prefix of the interpreter that ``python`` leads to. Kernels need it
    too, at the same path, unless it is ``/usr`` or below."""

    folder: Path
    python: Path
    python_base: Path


def environment_folder(settings: SandboxSettings, home: Path) -> Path:
    """Where the environment is, or would be built: as set, else beside the packages of the Python
    that runs this, else, where that is no virtual environment or cannot be written, in the data
    folder ``home``."""
    if settings.environment is not None:
        return settings.environment.expanduser().absolute()
    if sys.prefix != sys.base_prefix:
        beside = Path(sys.prefix) / "share" / "localassist" / "kernel"
        if (beside / "pyvenv.cfg").is_file() or os.access(existing(beside), os.W_OK):
            return beside
    return home / "sandbox" / "environment"


def find_environment(settings: SandboxSettings, home: Path) -> Environment:
    """The environment, complete. Raises SandboxUnavailable, which names what to do."""
    folder = environment_folder(settings, home)
    cfg = folder / "pyvenv.cfg"
    if not cfg.is_file():
        raise SandboxUnavailable(f"Kernels have no environment yet ({folder}). Build it: {BUILD}")
    python = folder / "bin" / "python"
    if not os.access(python, os.X_OK):
        raise SandboxUnavailable(
            f"{python} cannot be run: the Python it leads to is gone or not for this user. "
            f"Build the environment anew: {BUILD}"
        )
    if not any(folder.glob("lib/python*/site-packages/ipykernel/__init__.py")):
        raise SandboxUnavailable(
            f"The environment at {folder} cannot run kernels: ipykernel is not installed in it."
        )
    return Environment(folder, python, _python_base(cfg))


def _python_base(cfg: Path) -> Path:
    """The prefix of the interpreter an environment was made with: above ``home``, which is its
    folder of programs."""
    for line in cfg.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "home":
            return Path(value.strip()).parent
    raise SandboxUnavailable(f"{cfg} does not name its Python. Build the environment anew: {BUILD}")


def is_current(settings: SandboxSettings, home: Path) -> bool:
    """Whether the environment is there and holds what this release and the settings want. One that
    was not built here is taken as it is."""
    try:
        folder = find_environment(settings, home).folder
    except SandboxUnavailable:
        return False
    return is_foreign(folder) or read_stamp(folder) == contents(settings)


def is_foreign(folder: Path) -> bool:
    """Whether something lies there that was not built here."""
    return folder.exists() and any(folder.iterdir()) and not (folder / STAMP).is_file()


def contents(settings: SandboxSettings) -> dict[str, object]:
    """What an environment is built from, as its stamp says it."""
    lock = (guest_folder() / "requirements.txt").read_bytes()
    return {
        "requirements": hashlib.sha256(lock).hexdigest(),
        "packages": list(settings.packages),
        "python": ".".join(platform.python_version_tuple()[:2]),
    }


def read_stamp(folder: Path) -> object:
    """What an environment was built from; None where that cannot be read."""
    try:
        return json.loads((folder / STAMP).read_bytes())
    except (OSError, ValueError):
        return None
