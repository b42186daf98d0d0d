"""Models as the API lists them."""

from __future__ import annotations

from typing import Literal

from localassist.schemas.base import WireModel


class Model(WireModel):
    """Note ``created`` where every other object says ``created_at``."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "localassist"
    shutdown_date: str | None = None
