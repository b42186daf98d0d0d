"""Nothing that a model could say under the grammar is an invented quotation."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest

from localassist.engine.grammar import GrammarCompiler, validate_grammar
from localassist.engine.scripted_backend import END_TOKEN, VOCAB_SIZE, ScriptedBackend
from localassist.tools.file_search import Result, grounded_answer, render
from localassist.tools.file_search.results import spoken
from tests.tools.file_search.found import BIOGRAPHY, HANDBOOK, MENU, results

COMPILER = GrammarCompiler(ScriptedBackend().grammar_tokenizer, VOCAB_SIZE)
FOUND = results(
    HANDBOOK, BIOGRAPHY, MENU, "倉庫は2011年3月に開設。", "odd 【4:0†source】 \x00 \\ /"
)
_MARKS = [list(mark.encode()) for mark in ("“", "”", "【")]
_STEPS = 600


def grammar_of(found: list[Result]) -> str:
    constraint = grounded_answer(found)
    assert constraint is not None
    return constraint.grammar


def accepts(found: list[Result], text: str) -> bool:
    grammar = COMPILER.compile(grammar_of(found))
    data = list(text.encode())
    if grammar.count_allowed(data) < len(data):
        return False
    grammar.accept(data)
    logits = np.zeros(VOCAB_SIZE, dtype=np.float32)
    grammar.mask(logits)
    return bool(np.isfinite(logits[END_TOKEN]))


def walk(source: str, draws: random.Random) -> str:
    """What a model says that likes marks and figures of speech; cut where it goes on for long."""
    grammar = COMPILER.compile(source)
    said: list[int] = []
    planned: list[int] = []
    for step in range(_STEPS):
        logits = np.zeros(VOCAB_SIZE, dtype=np.float32)
        grammar.mask(logits)
        allowed = np.flatnonzero(np.isfinite(logits)).tolist()
        assert allowed, "nothing may follow"
        if END_TOKEN in allowed and step > _STEPS // 2:
            break
        if not planned and draws.random() < 0.2:
            planned = list(draws.choice(_MARKS))
        if planned and planned[0] in allowed:
            token = planned.pop(0)
        else:
            planned = []
            plain = [token for token in allowed if token < 128]
            token = draws.choice(plain or allowed)
        if token == END_TOKEN:
            break
        grammar.accept([token])
        said.append(token)
    return bytes(said).decode("utf-8", "ignore")


@pytest.mark.parametrize("seed", range(40))
def test_no_walk_invents_a_quotation_or_a_source(seed: int) -> None:
    said = walk(grammar_of(FOUND), random.Random(seed))
    quoted = re.findall(r"“([^”]*)”【4:(\d)†source】", said)
    for words, at in quoted:
        assert words.strip() and words in spoken(FOUND[int(at)].passage.text)
    assert said.count("”") == len(quoted)
    markers = {result.marker for result in FOUND}
    assert set(re.findall(r"【.*?】", said, re.DOTALL)) <= markers


@pytest.mark.parametrize(
    "text",
    [
        "I do not know.",
        "",
        "It says “employs 250 people”【4:0†source】.",
        "“Coffee is free for employees.”【4:2†source】 and “soup”? No.".replace("“soup”", '"soup"'),
        "“the turbo lathe in 1923”【4:1†source】",  # a line end in the file
        "It has 40 docks 【4:0†source】【4:1†source】".replace("【4:1†source】", ""),
        '"No quotation" without a source.',
        "“倉庫は2011年”【4:3†source】",
    ],
)
def test_what_is_true_can_be_said(text: str) -> None:
    assert accepts(FOUND, text)


@pytest.mark.parametrize(
    "text",
    [
        "“employs 251 people”【4:0†source】",
        "“employs 250 people”【4:1†source】",  # of another passage
        "“employs 250 people”",  # without its source
        "“employs 250 people” 【4:0†source】",
        "“25”【4:0†source】",  # half a word
        "“”【4:0†source】",
        "“ people”【4:0†source】",
        '"employs 251 people"【4:0†source】',  # looks like a quotation
        "'employs 251 people' (!) 【4:0†source】",
        "It has 40 docks 【4:9†source】",
        "It has 40 docks 【4:0",
    ],
)
def test_what_is_not_cannot(text: str) -> None:
    assert not accepts(FOUND, text)


def test_very_much_text_can_be_cited_but_only_its_beginning_quoted() -> None:
    rng = random.Random(1)
    vocabulary = ["".join(rng.choices("abcdefgh", k=6)) for _ in range(3000)]
    texts = [" ".join(rng.choices(vocabulary, k=1000)) for _ in range(20)]
    found = results(*texts)
    validate_grammar(grammar_of(found))
    first, last = texts[0][:20], texts[-1][:20]
    assert accepts(found, f"“{first}”【4:0†source】")
    assert not accepts(found, f"“{last}”【4:19†source】")
    assert accepts(found, "Said at the end 【4:19†source】.")


def test_without_results_there_is_nothing_to_hold_to() -> None:
    assert grounded_answer([]) is None
    assert accepts(results(" "), "Fine 【4:0†source】.")


def test_a_model_is_shown_how_to_cite_and_what() -> None:
    shown = render(results(HANDBOOK, MENU))
    assert "such as 【4:0†source】" in shown and "“ and ”" in shown
    assert f"【4:1†source】 b.pdf\n{MENU}" in shown
    assert "No passages" in render([])


def test_lines_of_dots_are_quotable_text() -> None:
    found = results("Contents" + "." * 10_000 + " 12")
    assert accepts(found, "“Contents...”【4:0†source】")
