"""What isolates a kernel: the interface, and the box that is handed to it.

A provider knows one way of isolating on this machine. It says whether that works here, and gives
the jupyter_client provisioner that starts one kernel in one box. What a cell may cost in time,
output and memory over all processes is watched from outside and none of its business.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.environment import Environment
from localassist.sandbox.limits import Limits
from localassist.sandbox.providers.users import kernel_uid
from localassist.sandbox.verdict import Level, Verdict

if TYPE_CHECKING:
    from localassist.sandbox.providers.provisioner import BoxProvisioner


@dataclass(frozen=True, slots=True)
class Box:
    """One kernel's place. All paths are absolute and exist before it starts."""

    folder: Path
    """The service's own, mode 0700: sockets and connection file. The kernel never sees it."""
    data: Path
    """What the kernel sees as ``/mnt/data``, mode 0700, belonging to ``Provider.owner_uid``."""
    environment: Path
    """The virtual environment that the kernel runs in, at the same path inside."""
    python_base: Path
    """The prefix of the interpreter that the environment was made from."""
    limits: Limits
    preload: tuple[str, ...] = ()
    """Modules that are imported before the kernel answers."""
    without: frozenset[str] = frozenset()
    """Protections that are left out, by their names in ``Provider.protections``. Only for showing
    that a test of a protection can fail. A kernel without ``unprivileged-uid`` runs as root in
    ``data`` that belongs to root."""


class Provider(ABC):
    """One way of isolating. Cheap to make: nothing is looked at before a method is called."""

    name: ClassVar[str]
    level: ClassVar[Level]
    protections: ClassVar[Mapping[str, str]]
    """What keeps code in, by the names that ``Box.without`` takes, each with a sentence."""

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings

    @abstractmethod
    def probe(self, environment: Environment | None) -> Verdict:
        """Start a tiny sandbox, with the environment's Python where one is given, and say what came
        of it. Blocks for up to some seconds; raises nothing for what it finds."""

    @abstractmethod
    def provisioner_class(self) -> type[BoxProvisioner]:
        """The jupyter_client provisioner; ``sandbox.starting`` makes one for each box."""

    def owner_uid(self) -> int | None:
        """The user and group that ``Box.data`` and all files in it must belong to; None: whoever
        runs the service. Raises SandboxUnavailable where kernels would run as root or as
        somebody's account."""
        return kernel_uid(self.settings.uid)
