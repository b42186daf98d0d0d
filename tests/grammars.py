"""What a grammar allows, asked of the grammar engine itself and not of the grammar's text."""

from __future__ import annotations

import llguidance

from localassist.core import Constraint


def accepts(constraint: Constraint | None, text: str) -> bool:
    """Whether exactly this text is allowed, byte by byte, control tokens spelled out."""
    assert constraint is not None
    tokenizer = llguidance.LLTokenizer("byte")
    grammar = llguidance.LLMatcher.grammar_from_lark(constraint.text_grammar or constraint.grammar)
    matcher = llguidance.LLMatcher(tokenizer, grammar, log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    tokens = tokenizer.tokenize_str(text)
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()
