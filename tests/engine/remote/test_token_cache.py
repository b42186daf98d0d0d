"""Remembered tokens: never wrong, never too many."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from localassist.engine.remote.token_cache import TokenCache


@given(st.lists(st.tuples(st.text("ab", max_size=5), st.booleans())), st.integers(0, 12))
def test_it_answers_as_the_server_would(asked: list[tuple[str, bool]], most: int) -> None:
    def tokenize(text: str, parse_special: bool) -> list[int]:
        return [ord(character) + parse_special for character in text]

    cache = TokenCache(tokenize, most)
    for text, parse_special in asked:
        assert cache.tokenize(text, parse_special) == tokenize(text, parse_special)
        held = sum(len(tokens) for tokens in cache._known.values())
        assert held == cache._tokens <= most


def test_it_asks_once() -> None:
    asked: list[str] = []
    cache = TokenCache(lambda text, parse_special: asked.append(text) or [1], 10)
    for _ in range(3):
        cache.tokenize("a", True).append(2)
    assert cache.tokenize("a", True) == [1]
    assert asked == ["a"]
