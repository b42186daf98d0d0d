"""Watches that a server keeps the promise of a constraint. Fails closed: an answer that leaves its
grammar or schema ends in an error, and what broke the promise is not delivered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from localassist.engine.grammar import validate_grammar
from localassist.errors import GenerationFailed

CheckValue = Callable[[Mapping[str, Any], str], str | None]
"""Why a JSON text does not fit a schema, None when it does."""

_BROKEN = "The model server did not keep to the form that was asked for"


class Guard(Protocol):
    """Sees the text of one answer before its reader does. Both raise GenerationFailed."""

    def feed(self, text: str) -> None: ...

    def finish(self) -> None:
        """The answer came to its end by itself."""
        ...


class Unguarded:
    """For answers that may say anything."""

    def feed(self, text: str) -> None: ...

    def finish(self) -> None: ...


class GrammarGuard:
    """Follows the answer through the grammar, byte by byte. Raises GrammarRejected for a grammar
    that does not compile: servers may answer freely then. Compiling takes a while."""

    def __init__(self, grammar: str) -> None:
        validate_grammar(grammar)
        from llguidance import LLMatcher, LLTokenizer

        self._matcher = LLMatcher(
            LLTokenizer("byte"), LLMatcher.grammar_from_lark(grammar), log_level=0
        )

    def feed(self, text: str) -> None:
        data = list(text.encode())
        if data and not self._matcher.consume_tokens(data):
            raise GenerationFailed(f"{_BROKEN}: the answer left its grammar.")

    def finish(self) -> None:
        if not (self._matcher.is_accepting() or self._matcher.is_stopped()):
            raise GenerationFailed(f"{_BROKEN}: the answer ended too early.")


class SchemaGuard:
    """Checks the whole answer when it has ended."""

    def __init__(self, schema: Mapping[str, Any], check_value: CheckValue) -> None:
        self._schema = schema
        self._check_value = check_value
        self._text: list[str] = []

    def feed(self, text: str) -> None:
        self._text.append(text)

    def finish(self) -> None:
        problem = self._check_value(self._schema, "".join(self._text))
        if problem is not None:
            raise GenerationFailed(f"{_BROKEN}: {problem}")
