"""Kernels that nothing isolates: for developing on a machine where nothing else works. Never chosen
unless it is named."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING

from localassist.errors import SandboxUnavailable
from localassist.sandbox.environment import Environment
from localassist.sandbox.providers.base import Provider
from localassist.sandbox.verdict import Verdict

if TYPE_CHECKING:
    from localassist.sandbox.providers.provisioner import BoxProvisioner

logger = logging.getLogger(__name__)

NOTHING = (
    "Nothing is kept from code: it can read and change what the service can, and reach the network."
)


class Unsafe(Provider):
    """A kernel as the service's own user; a service that is root gives up root for it."""

    name = "unsafe"
    level = "none"
    protections = {"unprivileged-uid": "A service that is root starts kernels as another user."}

    def probe(self, environment: Environment | None) -> Verdict:
        try:
            self.owner_uid()
        except SandboxUnavailable as error:
            return Verdict(self.name, self.level, False, (error.message,))
        return Verdict(self.name, self.level, True, (NOTHING,))

    def provisioner_class(self) -> type[BoxProvisioner]:
        from localassist.sandbox.providers.supervised import LocalProvisioner

        _warn_once()
        return LocalProvisioner


@functools.cache
def _warn_once() -> None:
    logger.warning("Code is run without isolation, because sandbox.provider is unsafe. %s", NOTHING)
