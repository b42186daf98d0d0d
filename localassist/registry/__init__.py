"""Which models there are, what they are called, and where their verified weights lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localassist.lazy import exports

if TYPE_CHECKING:
    from localassist.registry.catalog import Catalog
    from localassist.registry.config import ModelsSettings
    from localassist.registry.manifest import Kind, ModelManifest

__all__ = ["Catalog", "Kind", "ModelManifest", "ModelsSettings"]

_HOMES = {
    "Catalog": "localassist.registry.catalog",
    "Kind": "localassist.registry.manifest",
    "ModelManifest": "localassist.registry.manifest",
    "ModelsSettings": "localassist.registry.config",
}


__getattr__ = exports(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
