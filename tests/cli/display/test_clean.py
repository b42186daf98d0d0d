"""Nothing of a model acts on the terminal."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from localassist.cli.display import cleaned


def test_escape_sequences_are_spelled_out() -> None:
    assert cleaned("\x1b]52;c;aGk=\x07") == "\\u001b]52;c;aGk=\\u0007"
    assert cleaned("\x9b2J") == "\\u009b2J"


def test_directional_overrides_are_spelled_out() -> None:
    assert cleaned("a\u202eb\u2066") == "a\\u202eb\\u2066"


def test_languages_and_emoji_stay_whole() -> None:
    for text in ("नमस्ते", "می\u200cخواهم", "👩\u200d👩\u200d👧", "שלום", "e\u0301", "☂️", "a\u00a0b"):
        assert cleaned(text) == text


def test_line_ends_become_line_feeds() -> None:
    assert cleaned("a\r\nb\u2028c\x0cd") == "a\nb\nc\nd"


def test_half_a_surrogate_pair_can_be_written() -> None:
    assert cleaned("a\ud83d").encode() == b"a\\ud83d"


@given(st.text(st.characters(codec=None)), st.integers(0, 20))
def test_pieces_are_cleaned_like_the_whole(text: str, at: int) -> None:
    whole = cleaned(text)
    assert cleaned(text[:at]) + cleaned(text[at:]) == whole
    assert not {c for c in whole if unicodedata.category(c) in ("Cc", "Cs")} - {"\n", "\t"}
