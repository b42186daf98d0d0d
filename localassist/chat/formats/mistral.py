"""The forms of Mistral: all calls in one JSON array, each with an id of nine letters and digits;
or, in newer templates, name and arguments behind markers of their own."""

from __future__ import annotations

from localassist.chat.formats.marked import MarkedFormat
from localassist.chat.markup import ID, CallMarkup

_CALLS = "[TOOL_CALLS]"
_BEGIN = _CALLS + '[{"name": "'

MISTRAL = MarkedFormat(
    "mistral",
    CallMarkup(
        begin=_BEGIN,
        middle='", "arguments": ',
        joint=f', "id": "{ID}"}}, {{"name": "',
        end=f', "id": "{ID}"}}]',
        after_text=_BEGIN,
        trigger=_CALLS,
    ),
)

MISTRAL_ARGS = MarkedFormat(
    "mistral-args",
    CallMarkup(begin=_CALLS, middle="[ARGS]", joint=_CALLS, after_text=_CALLS, trigger=_CALLS),
)
