"""Random walks over a grammar: what a model could say under it, whatever it draws."""

from __future__ import annotations

import random

import numpy as np

from localassist.engine.grammar import GrammarCompiler
from localassist.engine.scripted_backend import END_TOKEN, VOCAB_SIZE, ScriptedBackend

COMPILER = GrammarCompiler(ScriptedBackend().grammar_tokenizer, VOCAB_SIZE)
_STEPS = 3000
# Tokens that end something, drawn more often so that a walk comes to an end.
_CLOSING = frozenset(b'"]}') | {END_TOKEN}


def walk(source: str, draws: random.Random) -> str | None:
    """Allowed tokens at random, those that end something preferred; None when it took too long."""
    grammar = COMPILER.compile(source)
    said: list[int] = []
    for step in range(_STEPS):
        logits = np.zeros(VOCAB_SIZE, dtype=np.float32)
        grammar.mask(logits)
        allowed = np.flatnonzero(np.isfinite(logits)).tolist()
        assert allowed, "nothing may follow"
        ends = [token for token in allowed if token in _CLOSING]
        is_ending = ends and draws.random() < (0.3 if step < 200 else 0.9)
        token = draws.choice(ends if is_ending else allowed)
        if token == END_TOKEN:
            return bytes(said).decode("utf-8")
        grammar.accept([token])
        said.append(token)
        if grammar.is_complete():
            return bytes(said).decode("utf-8")
    return None
