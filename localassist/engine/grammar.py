"""Grammars → masks over the vocabulary, by llguidance. Fails closed: no mask, no answer.

Knows neither JSON Schema nor tools: it gets finished Lark source. The tokenizer is built once per
model and a grammar is compiled once; each answer works on its own copy of the compiled matcher.
llguidance bounds both: a grammar, or a place in one, that would take too long is an error.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from localassist.engine.backend import Logits
from localassist.errors import GenerationFailed, GrammarRejected, ShuttingDown
from localassist.memo import Memo

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLParserLimits, LLTokenizer

# Kept compiled, within a number and the characters of their sources.
_COMPILED_GRAMMARS = 64
_COMPILED_CHARACTERS = 4 * 1024 * 1024
_REASON_CHARACTERS = 300
# The time to compile a source, and to find where a literal in it ends, grows with its length; at
# this one it is about half a second.
_MOST_CHARACTERS = 256 * 1024
# One or two kilobytes each, made while an answer is produced.
_MOST_LEXER_STATES = 50_000
# With fewer allowed tokens than one in so many, moving them is faster than a masked copy.
_MASKED_COPY_SHARE = 8


def validate_grammar(grammar: str) -> None:
    """Raise GrammarRejected unless the Lark source compiles for some vocabulary.

    Without a model, the names of special tokens cannot be checked; ``GrammarCompiler`` does.
    """
    from llguidance import LLMatcher

    _check_length(grammar)
    reason = LLMatcher.validate_grammar(LLMatcher.grammar_from_lark(grammar), limits=_limits())
    if reason:
        raise GrammarRejected(_shorten(reason))


def _check_length(grammar: str) -> None:
    if len(grammar) > _MOST_CHARACTERS:
        raise GrammarRejected(
            f"The grammar cannot be compiled: it has {len(grammar)} characters; "
            f"{_MOST_CHARACTERS} are possible."
        )


def _limits() -> LLParserLimits:
    from llguidance import LLParserLimits

    return LLParserLimits(max_lexer_states=_MOST_LEXER_STATES)


def _shorten(reason: str) -> str:
    line = " ".join(reason.split("\n", 1)[0].split())
    if len(line) > _REASON_CHARACTERS:
        line = line[:_REASON_CHARACTERS] + "…"
    return f"The grammar cannot be compiled: {line}"


class GrammarCompiler:
    """Compiles grammars for one vocabulary. Thread-safe; slow calls belong off the event loop.

    A grammar that takes long keeps only those waiting who want the same one.
    """

    def __init__(self, build_tokenizer: Callable[[], LLTokenizer], vocab_size: int) -> None:
        self._build_tokenizer = build_tokenizer
        self._vocab_size = vocab_size
        self._tokenizer: LLTokenizer | None = None
        self._tokenizer_lock = threading.Lock()
        self._compiled: Memo[str, LLMatcher] = Memo(
            most=_COMPILED_GRAMMARS, most_bytes=_COMPILED_CHARACTERS
        )

    def compile(self, grammar: str) -> Grammar:
        """A fresh matcher at the grammar's start. Raises GrammarRejected."""
        compiled = self._compiled.get(grammar, len(grammar), lambda: self._compile(grammar))
        return Grammar(compiled.deep_copy(), self._vocab_size)

    def close(self) -> None:
        """Forget tokenizer and grammars; the vocabulary behind them is about to go. Waits for what
        is being compiled."""
        self._compiled.close(ShuttingDown("The engine is closed."))
        self._tokenizer = None

    def _compile(self, grammar: str) -> LLMatcher:
        from llguidance import LLMatcher

        _check_length(grammar)
        with self._tokenizer_lock:
            if self._tokenizer is None:
                self._tokenizer = self._build_tokenizer()
            tokenizer = self._tokenizer
        matcher = LLMatcher(
            tokenizer, LLMatcher.grammar_from_lark(grammar), log_level=0, limits=_limits()
        )
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
        bits = np.unpackbits(self._mask.view(np.uint8), count=self._vocab_size, bitorder="little")
        allowed = bits.view(np.bool_)
        if _MASKED_COPY_SHARE * np.count_nonzero(allowed) > self._vocab_size:
            np.copyto(logits, -np.inf, where=~allowed)
        else:
            tokens = np.flatnonzero(allowed)
            kept = logits[tokens]
            logits.fill(-np.inf)
            logits[tokens] = kept

    def accept(self, tokens: Sequence[int]) -> None:
        """Advance over tokens; GenerationFailed when the grammar does not allow them."""
        self._matcher.consume_tokens(list(tokens))
        self._check()

    def forced(self) -> list[int]:
        """Tokens that must come next whatever the model says; possibly none. Does not advance."""
        return self._matcher.compute_ff_tokens()

    def count_allowed(self, tokens: Sequence[int]) -> int:
        """How many of ``tokens`` may come next, one after the other. Does not advance."""
        return self._matcher.validate_tokens(list(tokens))

    def _check(self) -> None:
        if self._matcher.is_error():
            raise GenerationFailed(
                f"The answer left its grammar: {self._matcher.get_error()[:_REASON_CHARACTERS]}"
            )
