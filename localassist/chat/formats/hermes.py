"""The form of Hermes and Qwen models, and with it the form for models trained on none."""

from __future__ import annotations

from dataclasses import replace

from localassist.chat.formats.marked import MarkedFormat
from localassist.chat.markup import CallMarkup

_BEGIN = '<tool_call>\n{"name": "'

HERMES = MarkedFormat(
    "hermes",
    CallMarkup(
        begin=_BEGIN,
        middle='", "arguments": ',
        joint="}\n</tool_call>\n" + _BEGIN,
        end="}\n</tool_call>",
        after_text=_BEGIN,
        trigger="<tool_call>",
    ),
)

GENERIC = replace(HERMES, name="generic", in_template=False)
"""Described in the system message, for templates that show no calls or show them in a form that
cannot be enforced. What such a template says about tools is left out: it would ask for another."""
