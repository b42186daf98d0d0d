"""The ways of isolating kernels, by the names that the setting ``sandbox.provider`` takes."""

from __future__ import annotations

from localassist.sandbox.providers.base import Box, Provider
from localassist.sandbox.providers.bubblewrap import Bubblewrap
from localassist.sandbox.providers.container import Docker, Podman
from localassist.sandbox.providers.landlock import Landlock
from localassist.sandbox.providers.unsafe import Unsafe

__all__ = ["PROVIDERS", "Box", "Provider"]

PROVIDERS: dict[str, type[Provider]] = {
    provider.name: provider for provider in (Bubblewrap, Podman, Docker, Landlock, Unsafe)
}
