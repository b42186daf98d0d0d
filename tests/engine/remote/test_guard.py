"""Promises of servers, watched."""

from __future__ import annotations

import pytest

from localassist.engine.remote.guard import GrammarGuard, SchemaGuard, Unguarded
from localassist.errors import GenerationFailed, GrammarRejected
from localassist.tools.schema import value_problem

GRAMMAR = '%llguidance {}\nstart: "é😀" %json {"type": "integer"}\n'


@pytest.mark.parametrize("parts", [["é😀12"], ["é", "😀", "1", "2"], ["é😀", "", "-7"]])
def test_an_answer_in_its_grammar_passes_however_it_is_split(parts: list[str]) -> None:
    guard = GrammarGuard(GRAMMAR)
    for part in parts:
        guard.feed(part)
    guard.finish()


def test_an_answer_that_leaves_its_grammar_is_stopped_there() -> None:
    guard = GrammarGuard(GRAMMAR)
    guard.feed("é")
    with pytest.raises(GenerationFailed, match="left its grammar"):
        guard.feed("x")


def test_an_answer_that_ends_too_early_is_noticed() -> None:
    guard = GrammarGuard(GRAMMAR)
    guard.feed("é😀")
    with pytest.raises(GenerationFailed, match="ended too early"):
        guard.finish()


def test_a_grammar_that_does_not_compile() -> None:
    with pytest.raises(GrammarRejected):
        GrammarGuard("%llguidance {}\nstart: @\n")


def test_a_schema_is_checked_at_the_end() -> None:
    guard = SchemaGuard({"type": "integer"}, value_problem)
    for part in (" 1", "2 "):
        guard.feed(part)
    guard.finish()
    guard.feed("x")
    with pytest.raises(GenerationFailed, match="not valid JSON"):
        guard.finish()


def test_free_answers_are_free() -> None:
    guard = Unguarded()
    guard.feed("anything")
    guard.finish()
