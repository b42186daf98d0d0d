"""Text of others made fit for a terminal: no character of it can move the cursor, ring the bell,
set the clipboard or turn the line around."""

from __future__ import annotations

import unicodedata

# Format characters that languages and emoji need; they only shape the characters beside them.
_SHAPING = frozenset("\u200b\u200c\u200d\u200e\u200f\u061c\u2060")
_GONE = frozenset("\r\ufeff\u00ad")  # a carriage return beside its line feed, a mark of byte order
_LINE_ENDS = frozenset("\v\f\u0085\u2028\u2029")
# Controls, formats (the directional overrides among them) and halves of surrogate pairs.
_UNFIT = frozenset(("Cc", "Cf", "Cs"))


def cleaned(text: str) -> str:
    """The text with what acts on a terminal spelled out, as ``\\u001b``. Pieces may be cleaned one
    by one: each character is judged alone."""
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "".join(map(_cleaned, text))


def _cleaned(character: str) -> str:
    if character.isprintable() or character in "\n\t" or character in _SHAPING:
        return character
    if character in _GONE:
        return ""
    if character in _LINE_ENDS:
        return "\n"
    if unicodedata.category(character) in _UNFIT:
        return f"\\u{ord(character):04x}"
    return character  # spaces of other widths, private use, and what this Python does not know yet
