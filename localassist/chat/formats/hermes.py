"""The Hermes form, also Qwen's, and the one for models that were trained on none in particular."""

from __future__ import annotations

from localassist.chat.formats.json_call import JsonCallFormat

HERMES = JsonCallFormat(
    name="hermes",
    begin="<tool_call>\n",
    end="\n</tool_call>",
    separator="\n",
    trigger="<tool_call>",
)
