"""Files for those who run localassist as a service: a systemd unit, a Containerfile.

The templates beside this module are filled in with the paths of this installation and with times
that fit the settings. Knows nothing of machines: what a file says is all that happens.
"""

from __future__ import annotations

import math
import re
import shlex
import sys
from pathlib import Path
from string import Template
from typing import Literal

from localassist.errors import ConfigError
from localassist.settings import Settings

Source = Literal["bundle", "checkout"]

_FOLDER = Path(__file__).parent
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_HOMES = ("/home", "/root", "/run/user")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_MARGIN_SECONDS = 30
"""For kernels, caches and a busy disk, after the last connection is closed."""


def systemd_unit(settings: Settings, user: str) -> str:
    """The unit of a service that runs this installation on this data folder as ``user``. Raises
    ConfigError for names and paths that a unit cannot hold."""
    if not _USER.fullmatch(user):
        raise ConfigError(f"{user!r} is not a user name: small letters, digits, '_' and '-'.")
    command = _command()
    is_in_homes = any(
        path.is_relative_to(home)
        for home in _HOMES
        for path in (settings.home, _installation(), Path(sys.base_prefix))
    )
    is_alone = settings.storage.url is None and settings.tracing.endpoint is None
    return Template(_template("localassist.service")).substitute(
        user=user,
        home_shell=shlex.quote(str(settings.home)),
        home_word=_word(str(settings.home)),
        home_argument=_argument(str(settings.home)),
        directory=_path(str(settings.home)),
        command=" ".join(_argument(part) for part in command),
        shutdown_seconds=f"{settings.server.shutdown_seconds:g}",
        stop_seconds=stop_seconds(settings),
        protect_home="read-only" if is_in_homes else "yes",
        private_devices=(
            "PrivateDevices=yes"
            if settings.engine.gpu_layers == 0
            else "# No PrivateDevices: engine.gpu_layers asks for a GPU."
        ),
        addresses=(
            "# Nothing outside this machine, both ways. Take it out for model servers elsewhere.\n"
            "IPAddressDeny=any\nIPAddressAllow=localhost"
            if settings.server.host in _LOOPBACK and is_alone
            else "# No IPAddressDeny: the settings name other machines, or let them in."
        ),
    )


def containerfile(settings: Settings, source: Source) -> str:
    """How an image is built, of a bundle or of a checkout."""
    usage = _template("usage").replace("STOP_SECONDS", str(stop_seconds(settings)))
    return Template(_template(f"Containerfile.{source}")).substitute(
        usage=usage.rstrip(),
        final=_template("final_stage").rstrip(),
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
    )


def stop_seconds(settings: Settings) -> int:
    """How long a stop may take before whoever asked for it kills the service."""
    server = settings.server
    return math.ceil(server.shutdown_seconds) + server.shutdown_grace_seconds + _MARGIN_SECONDS


def _template(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _installation() -> Path:
    """The virtual environment, by the name under which upgrades replace it: an installer's
    ``current`` beside its ``versions``."""
    prefix = Path(sys.prefix)
    current = prefix.parent.parent / "current"
    is_current = prefix.parent.name == "versions" and current.resolve() == prefix.resolve()
    return current if is_current else prefix


def _command() -> list[str]:
    programs = _installation() / "bin"
    script = programs / "localassist"
    return [str(script)] if script.exists() else [str(programs / "python"), "-m", "localassist"]


def _path(text: str) -> str:
    """A path for a setting that takes one and is not split into words."""
    if not text.isprintable():
        raise ConfigError(f"The path {text!r} has characters that a unit cannot hold.")
    return text.replace("%", "%%")


def _word(text: str) -> str:
    """One of a list of paths, as systemd splits it."""
    text = _path(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"' if re.search(r"[\s\"'\\;]", text) else text


def _argument(text: str) -> str:
    """One word of a command line, in which variables would be looked up."""
    return _word(text).replace("$", "$$")
