"""Tool-call formats by the name that model manifests use."""

from __future__ import annotations

from localassist.chat.formats.base import ToolCallFormat, ToolChoice
from localassist.chat.formats.hermes import HERMES
from localassist.chat.formats.plain import PLAIN

__all__ = ["FORMATS", "ToolCallFormat", "ToolChoice"]

FORMATS: dict[str, ToolCallFormat] = {
    HERMES.name: HERMES,
    PLAIN.name: PLAIN,
}
