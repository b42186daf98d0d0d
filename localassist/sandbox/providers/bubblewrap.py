"""Kernels under bubblewrap: namespaces without rights, a filter on system calls, limits inside.

Needs bwrap 0.8 and no rights of its own. What is kept out and how: ``bubblewrap_arguments``,
``seccomp``, ``startup``.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from localassist.errors import SandboxUnavailable
from localassist.sandbox.environment import Environment
from localassist.sandbox.providers import as_user
from localassist.sandbox.providers.base import Box, Provider
from localassist.sandbox.providers.bubblewrap_arguments import PROTECTIONS, Layout, arguments
from localassist.sandbox.providers.seccomp import assemble
from localassist.sandbox.verdict import Verdict

if TYPE_CHECKING:
    from localassist.sandbox.providers.provisioner import BoxProvisioner


class Bubblewrap(Provider):
    """The default, and the only provider that is used without being named."""

    name = "bubblewrap"
    level = "strong"
    protections = PROTECTIONS

    def probe(self, environment: Environment | None) -> Verdict:
        from localassist.sandbox.providers.bubblewrap_probe import probe

        return probe(self, environment)

    def provisioner_class(self) -> type[BoxProvisioner]:
        from localassist.sandbox.providers.bubblewrap_provisioner import BubblewrapProvisioner

        return BubblewrapProvisioner


def sandboxed(
    command: Sequence[str],
    box: Box,
    *,
    uid: int | None,
    files: Mapping[str, bytes],
    info_descriptor: int,
    held: ExitStack,
) -> tuple[list[str], tuple[int, ...]]:
    """What to run for ``command`` in the box, and the descriptors that it inherits. ``held`` is to
    be closed once the process was started. Raises SandboxUnavailable without bwrap."""
    # Stays "~" for a user without an account, as in a container.
    home = Path(os.path.expanduser("~"))
    for path in (box.environment, box.python_base):
        if any(private.is_relative_to(path) for private in (box.data, home)):
            raise SandboxUnavailable(
                f"{path} would be seen by kernels, and it holds more than Python and packages. "
                "Build their environment with a Python that has a folder of its own."
            )
    descriptors = [info_descriptor]

    def data_descriptor(content: bytes) -> int:
        descriptor = os.memfd_create("localassist-sandbox")
        held.callback(os.close, descriptor)
        os.write(descriptor, content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        descriptors.append(descriptor)
        return descriptor

    changes_user = uid is not None and "unprivileged-uid" not in box.without
    sources: list[str] = []

    def source(path: Path) -> str:
        if not changes_user:
            return str(path)
        sources.append(str(path))
        return f"@{len(sources) - 1}"

    told = arguments(
        box,
        Layout.of_this_machine(),
        files=files,
        source=source,
        data_descriptor=data_descriptor,
        info_descriptor=info_descriptor,
        seccomp=assemble(),
    )
    launcher = []
    if changes_user:
        program = [sys.executable, "-I", "-S", as_user.__file__]
        launcher = [*program, str(os.getpid()), str(uid), *sources, "--"]
    return [*launcher, bwrap_path(), *told, "--", *command], tuple(descriptors)


def bwrap_path() -> str:
    path = shutil.which("bwrap")
    if path is None:
        raise SandboxUnavailable("bwrap is not installed; it is in the package bubblewrap.")
    return path
