"""Tool calling for models too small to do it alone: conversation in, plan out."""

from localassist.tools.guided.caller import GuidedCaller
from localassist.tools.guided.choosing import Embed, GuidedThresholds
from localassist.tools.guided.plan import PlannedCall, ToolPlan, ToolScore

__all__ = ["Embed", "GuidedCaller", "GuidedThresholds", "PlannedCall", "ToolPlan", "ToolScore"]
