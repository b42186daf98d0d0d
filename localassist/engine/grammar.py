"""Grammars → masks over the vocabulary, by llguidance. Fails closed: no mask, no answer.

Knows neither JSON Schema nor tools: it gets finished Lark source. The tokenizer is built once per
model and a grammar is compiled once; each answer works on its own copy of the compiled matcher.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from localassist.engine.backend import Logits
from localassist.errors import GenerationFailed, GrammarRejected, ShuttingDown

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

_COMPILED_GRAMMARS = 64
_REASON_CHARACTERS = 300


def validate_grammar(grammar: str) -> None:
    """Raise GrammarRejected unless the Lark source compiles for some vocabulary.

    Without a model, the names of special tokens cannot be checked; ``GrammarCompiler`` does.
    """
    from llguidance import LLMatcher

    reason = LLMatcher.validate_grammar(LLMatcher.grammar_from_lark(grammar))
    if reason:
        raise GrammarRejected(_shorten(reason))


def _shorten(reason: str) -> str:
    line = " ".join(reason.split("\n", 1)[0].split())
    if len(line) > _REASON_CHARACTERS:
        line = line[:_REASON_CHARACTERS] + "…"
    return f"The grammar cannot be compiled: {line}"


class GrammarCompiler:
    """Compiles grammars for one vocabulary. Thread-safe; slow calls belong off the event loop."""

    def __init__(self, build_tokenizer: Callable[[], LLTokenizer], vocab_size: int) -> None:
        self._build_tokenizer = build_tokenizer
        self._vocab_size = vocab_size
        self._tokenizer: LLTokenizer | None = None
        self._compiled: OrderedDict[str, LLMatcher] = OrderedDict()
        self._lock = threading.Lock()
        self._is_closed = False

    def compile(self, grammar: str) -> Grammar:
        """A fresh matcher at the grammar's start. Raises GrammarRejected."""
        with self._lock:
            if self._is_closed:
                raise ShuttingDown("The engine is closed.")
            matcher = self._compiled.get(grammar)
            if matcher is None:
                matcher = self._compile(grammar)
                self._compiled[grammar] = matcher
                if len(self._compiled) > _COMPILED_GRAMMARS:
                    self._compiled.popitem(last=False)
            else:
                self._compiled.move_to_end(grammar)
            return Grammar(matcher.deep_copy(), self._vocab_size)

    def close(self) -> None:
        """Forget tokenizer and grammars; the vocabulary behind them is about to go."""
        with self._lock:
            self._is_closed = True
            self._compiled.clear()
            self._tokenizer = None

    def _compile(self, grammar: str) -> LLMatcher:
        from llguidance import LLMatcher

        if self._tokenizer is None:
            self._tokenizer = self._build_tokenizer()
        matcher = LLMatcher(self._tokenizer, LLMatcher.grammar_from_lark(grammar), log_level=0)
        if matcher.is_error():
            raise GrammarRejected(_shorten(matcher.get_error()))
        return matcher


class Grammar:
    """How far one answer has come in its grammar."""

    def __init__(self, matcher: LLMatcher, vocab_size: int) -> None:
        import numpy as np

        self._matcher = matcher
        self._vocab_size = vocab_size
        self._mask = np.empty((vocab_size + 31) // 32, dtype=np.int32)

    def is_complete(self) -> bool:
        """Nothing but the end of the answer may follow."""
        return self._matcher.is_stopped()

    def mask(self, logits: Logits) -> None:
        """Set the logits of every token that may not come next to minus infinity."""
        import numpy as np

        self._matcher.unsafe_compute_mask_ptr(self._mask.ctypes.data, self._mask.nbytes)
        self._check()
        refused = np.unpackbits(
            ~self._mask.view(np.uint8), count=self._vocab_size, bitorder="little"
        )
        np.copyto(logits, -np.inf, where=refused.view(np.bool_))

    def accept(self, tokens: Sequence[int]) -> None:
        """Advance over tokens; GenerationFailed when the grammar does not allow them."""
        self._matcher.consume_tokens(list(tokens))
        self._check()

    def forced(self) -> list[int]:
        """Tokens that must come next whatever the model says; possibly none. Does not advance."""
        return self._matcher.compute_ff_tokens()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise GenerationFailed(
                f"The answer left its grammar: {self._matcher.get_error()[:_REASON_CHARACTERS]}"
            )
