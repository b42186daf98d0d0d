"""Which models there are, what they are called, and where their verified weights lie."""

from localassist.registry.catalog import Catalog
from localassist.registry.config import ModelsSettings
from localassist.registry.manifest import Kind, ModelManifest

__all__ = ["Catalog", "Kind", "ModelManifest", "ModelsSettings"]
