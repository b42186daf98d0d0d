"""Tool calling for models too small to do it alone: conversation in, plan out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localassist.lazy import exports

if TYPE_CHECKING:
    from localassist.tools.guided.caller import GuidedCaller
    from localassist.tools.guided.choosing import Embed, GuidedThresholds
    from localassist.tools.guided.plan import PlannedCall, ToolPlan, ToolScore

__all__ = ["Embed", "GuidedCaller", "GuidedThresholds", "PlannedCall", "ToolPlan", "ToolScore"]

_HOMES = {
    "Embed": "localassist.tools.guided.choosing",
    "GuidedCaller": "localassist.tools.guided.caller",
    "GuidedThresholds": "localassist.tools.guided.choosing",
    "PlannedCall": "localassist.tools.guided.plan",
    "ToolPlan": "localassist.tools.guided.plan",
    "ToolScore": "localassist.tools.guided.plan",
}


__getattr__ = exports(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
