"""Tool-call formats: by their names, and the one that a model's template shows."""

from __future__ import annotations

from localassist.chat.formats.base import ToolCallFormat, ToolChoice
from localassist.chat.formats.detect import control_tokens_of, detect
from localassist.chat.formats.functionary import FUNCTIONARY, FUNCTIONARY_TAG
from localassist.chat.formats.hermes import GENERIC, HERMES
from localassist.chat.formats.llama3 import LLAMA3
from localassist.chat.formats.mistral import MISTRAL, MISTRAL_ARGS
from localassist.chat.formats.plain import PLAIN

__all__ = ["FORMATS", "PLAIN", "ToolCallFormat", "ToolChoice", "control_tokens_of", "detect"]

FORMATS: dict[str, ToolCallFormat] = {
    known.name: known
    for known in (
        HERMES,
        GENERIC,
        LLAMA3,
        MISTRAL,
        MISTRAL_ARGS,
        FUNCTIONARY,
        FUNCTIONARY_TAG,
        PLAIN,
    )
}
