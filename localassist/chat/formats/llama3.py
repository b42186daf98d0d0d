"""The form of Llama 3.x: a turn is one call from its first character on, or text.

Nothing marks the call, so a text may hold braces, only not begin as a call does. The end is the
end of the turn (``<|eom_id|>`` or ``<|eot_id|>``). Some of these models put ``<|python_tag|>``
first.
"""

from __future__ import annotations

from localassist.chat.formats.marked import MarkedFormat
from localassist.chat.markup import CallMarkup

PYTHON_TAG = "<|python_tag|>"

LLAMA3 = MarkedFormat(
    "llama3",
    CallMarkup(begin='{"name": "', middle='", "parameters": ', end="}", lead=PYTHON_TAG),
)
