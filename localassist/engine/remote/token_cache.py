"""Remembers what texts were tokenized to: a conversation's messages come again with every turn,
and each question to the server costs a trip over the network."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

_Key = tuple[str, bool]


class TokenCache:
    """The latest results, ``most_tokens`` in all. Used from many threads; ``tokenize`` is called
    outside the lock and may be called twice for the same text."""

    def __init__(self, tokenize: Callable[[str, bool], list[int]], most_tokens: int) -> None:
        self._tokenize = tokenize
        self._most_tokens = most_tokens
        self._known: OrderedDict[_Key, tuple[int, ...]] = OrderedDict()
        self._tokens = 0
        self._lock = threading.Lock()

    def tokenize(self, text: str, parse_special: bool) -> list[int]:
        key = (text, parse_special)
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
                return list(known)
        tokens = self._tokenize(text, parse_special)
        with self._lock:
            self._tokens += len(tokens) - len(self._known.pop(key, ()))
            self._known[key] = tuple(tokens)
            while self._tokens > self._most_tokens:
                _, oldest = self._known.popitem(last=False)
                self._tokens -= len(oldest)
        return tokens
