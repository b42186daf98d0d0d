"""Compilation, masks and forced tokens over llguidance's byte vocabulary."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
import pytest
from llguidance import LLMatcher, LLTokenizer

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


@pytest.mark.parametrize("source", ["start: /[ab]/", "start: /[^ab]/", "start: /(?s:.)/"])
def test_allowed_logits_keep_their_values_however_many_they_are(
    compiler: GrammarCompiler, source: str
) -> None:
    logits = np.random.default_rng(0).standard_normal(VOCAB_SIZE).astype(np.float32)
    before = logits.copy()
    grammar = compiler.compile(source)
    may_come = allowed(grammar)
    grammar.mask(logits)
    assert all(logits[token] == before[token] for token in may_come)
    assert np.isneginf(np.delete(logits, list(may_come))).all()


def test_counting_allowed_tokens_does_not_advance(compiler: GrammarCompiler) -> None:
    grammar = compiler.compile('start: "ab" /[0-9]+/')
    assert grammar.count_allowed(b"ab12") == 4
    assert grammar.count_allowed(b"ab1x2") == 3
    assert grammar.count_allowed(b"x") == 0
    assert grammar.count_allowed([]) == 0
    assert allowed(grammar) == set(b"a")


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


def test_a_source_of_any_length_is_judged_in_bounded_time(compiler: GrammarCompiler) -> None:
    endless = 'start: "' + "x" * 300_000 + '"'
    with pytest.raises(GrammarRejected, match="characters"):
        validate_grammar(endless)
    with pytest.raises(GrammarRejected, match="characters"):
        compiler.compile(endless)
    objects = [{"properties": {f"p{n}": {"type": "integer"}}} for n in range(48)]
    choices = [{"anyOf": objects[n : n + 12]} for n in range(0, 48, 12)]  # 12⁴ combinations
    with pytest.raises(GrammarRejected, match="too large"):
        compiler.compile("start: %json " + json.dumps({"allOf": choices}))


class SlowStart:
    """A tokenizer that is not ready until it is told to be."""

    def __init__(self) -> None:
        self.calls = 0
        self.has_begun = threading.Event()
        self.may_end = threading.Event()

    def __call__(self) -> LLTokenizer:
        self.calls += 1
        self.has_begun.set()
        assert self.may_end.wait(30)
        return ScriptedBackend().grammar_tokenizer()


def test_many_who_want_grammars_at_once_get_their_own_matchers() -> None:
    start = SlowStart()
    compiler = GrammarCompiler(start, VOCAB_SIZE)
    sources = ['start: "a"', 'start: "b"', 'start: "a"', "start: missing", "start: missing"]
    with ThreadPoolExecutor(len(sources)) as threads:
        results = [threads.submit(compiler.compile, source) for source in sources]
        assert start.has_begun.wait(30)
        start.may_end.set()
    for result in results[3:]:
        assert isinstance(result.exception(), GrammarRejected)
    first, second, third = (result.result() for result in results[:3])
    first.accept(b"a")
    assert (allowed(second), allowed(third)) == (set(b"b"), set(b"a"))
    assert start.calls == 1


class SlowGrammar(GrammarCompiler):
    """Takes its time for one source."""

    def __init__(self) -> None:
        super().__init__(ScriptedBackend().grammar_tokenizer, VOCAB_SIZE)
        self.has_begun = threading.Event()
        self.may_end = threading.Event()

    def _compile(self, grammar: str) -> LLMatcher:
        if "slow" in grammar:
            self.has_begun.set()
            assert self.may_end.wait(30)
        return super()._compile(grammar)


def test_a_slow_grammar_keeps_nobody_else_waiting_and_close_waits_for_it() -> None:
    compiler = SlowGrammar()
    with ThreadPoolExecutor(3) as threads:
        slow = threads.submit(compiler.compile, 'start: "slow"')
        assert compiler.has_begun.wait(30)
        assert allowed(compiler.compile('start: "quick"')) == set(b"q")
        closed = threads.submit(compiler.close)
        assert wait([closed], timeout=0.1).not_done
        compiler.may_end.set()
        assert allowed(slow.result(30)) == set(b"s")
        closed.result(30)


def test_a_failed_tokenizer_is_tried_again() -> None:
    attempts: list[int] = []

    def build() -> LLTokenizer:
        attempts.append(1)
        if len(attempts) == 1:
            raise OSError("not now")
        return ScriptedBackend().grammar_tokenizer()

    compiler = GrammarCompiler(build, VOCAB_SIZE)
    with pytest.raises(OSError, match="not now"):
        compiler.compile('start: "a"')
    assert allowed(compiler.compile('start: "a"')) == set(b"a")


def test_a_closed_compiler_refuses(compiler: GrammarCompiler) -> None:
    compiler.close()
    with pytest.raises(ShuttingDown):
        compiler.compile('start: "a"')
