"""Compilation, masks and forced tokens over llguidance's byte vocabulary."""

from __future__ import annotations

import numpy as np
import pytest

from localassist.engine.grammar import Grammar, GrammarCompiler, validate_grammar
from localassist.engine.scripted_backend import END_TOKEN, VOCAB_SIZE, ScriptedBackend
from localassist.errors import GenerationFailed, GrammarRejected, ShuttingDown


@pytest.fixture
def compiler() -> GrammarCompiler:
    return GrammarCompiler(ScriptedBackend().grammar_tokenizer, VOCAB_SIZE)


def allowed(grammar: Grammar) -> set[int]:
    logits = np.zeros(VOCAB_SIZE, dtype=np.float32)
    grammar.mask(logits)
    return set(np.flatnonzero(np.isfinite(logits)).tolist())


def test_a_mask_leaves_exactly_what_may_follow(compiler: GrammarCompiler) -> None:
    grammar = compiler.compile("start: /[ab]/ /[0-9]*/")
    assert allowed(grammar) == set(b"ab")
    grammar.accept(b"a")
    assert allowed(grammar) == set(b"0123456789") | {END_TOKEN}
    assert not grammar.is_complete()


def test_forced_tokens_lead_to_the_next_choice(compiler: GrammarCompiler) -> None:
    grammar = compiler.compile('start: "name: " /[xy]/ "!"')
    forced = grammar.forced()
    assert b"name: ".startswith(bytes(forced)) and forced
    grammar.accept(b"name: x!")
    assert grammar.is_complete()


def test_a_token_outside_the_grammar_is_an_error(compiler: GrammarCompiler) -> None:
    grammar = compiler.compile('start: "yes"')
    with pytest.raises(GenerationFailed):
        grammar.accept(b"n")


def test_answers_do_not_share_their_state(compiler: GrammarCompiler) -> None:
    first, second = compiler.compile('start: "ab"'), compiler.compile('start: "ab"')
    first.accept(b"a")
    assert allowed(second) == set(b"a")


@pytest.mark.parametrize("source", ["start: missing", 'start: "a', "", 'start: %json {"type": 1}'])
def test_grammars_that_do_not_compile_are_refused(compiler: GrammarCompiler, source: str) -> None:
    with pytest.raises(GrammarRejected) as refusal:
        validate_grammar(source)
    assert len(refusal.value.message) < 400 and "\n" not in refusal.value.message
    with pytest.raises(GrammarRejected):
        compiler.compile(source)


def test_a_good_grammar_is_valid_with_names_of_special_tokens() -> None:
    validate_grammar('%llguidance {}\nstart: <tool_call> %json {"type": "object"} </tool_call>')


def test_an_unknown_special_token_is_refused_by_the_model(compiler: GrammarCompiler) -> None:
    with pytest.raises(GrammarRejected):
        compiler.compile("start: <tool_call>")


def test_a_closed_compiler_refuses(compiler: GrammarCompiler) -> None:
    compiler.close()
    with pytest.raises(ShuttingDown):
        compiler.compile('start: "a"')
