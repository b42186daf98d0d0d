"""A tokenizer whose merges cross word borders: joint and piecewise tokenization differ."""

from __future__ import annotations

import re

import pytest

_SPECIAL = re.compile(r"(<\|[a-z_]+\|>|</?s>|\[/?INST\]|\[TOOL_CALLS\])")


class FakeTokenizer:
    """Ids stand for texts. Ordinary text is cut into chunks of up to four characters."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, bool], int] = {}
        self._texts: list[str] = []

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        pieces = _SPECIAL.split(text) if parse_special else [text]
        ids = []
        for piece in pieces:
            if parse_special and _SPECIAL.fullmatch(piece):
                ids.append(self._id(piece, True))
                continue
            ids += [self._id(piece[at : at + 4], False) for at in range(0, len(piece), 4)]
        return ids

    def text(self, token_ids: list[int] | tuple[int, ...]) -> str:
        return "".join(self._texts[token] for token in token_ids)

    def special(self, text: str) -> int:
        return self._id(text, True)

    def letters(self, text: str) -> tuple[int, ...]:
        """One token per character: not what ``tokenize`` gives."""
        return tuple(self._id(character, False) for character in text)

    def _id(self, text: str, is_special: bool) -> int:
        if (text, is_special) not in self._ids:
            self._ids[text, is_special] = len(self._texts)
            self._texts.append(text)
        return self._ids[text, is_special]


@pytest.fixture
def tokenizer() -> FakeTokenizer:
    return FakeTokenizer()
