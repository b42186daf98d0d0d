"""The forms of functionary: a recipient per stretch of a turn, ``all`` for text (v3.2), or a tag
named after the function (v3.1). A generation prompt of v3.2 ends inside the first marker."""

from __future__ import annotations

from localassist.chat.formats.marked import MarkedFormat
from localassist.chat.markup import CallMarkup

_RECIPIENT = ">>>"
_TAG = "<function="

FUNCTIONARY = MarkedFormat(
    "functionary",
    CallMarkup(
        begin="",
        middle="\n",
        joint=_RECIPIENT,
        after_text=_RECIPIENT,
        trigger=_RECIPIENT,
        text_begin="all\n",
    ),
    text_arguments=True,
)

FUNCTIONARY_TAG = MarkedFormat(
    "functionary-tag",
    CallMarkup(
        begin=_TAG,
        middle=">",
        joint="</function>" + _TAG,
        end="</function>",
        after_text=_TAG,
        trigger=_TAG,
    ),
)
