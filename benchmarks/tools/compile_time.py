"""How long does a request with tools wait for its grammar, and a token for its mask?

The tools of every question, three times: checked as when an assistant or a run is created, made one
grammar of the whole request (text, calls, the choice between them) and compiled for the model's
vocabulary, and then followed token by token along the wanted calls as the model would write them.
"First" is the first time in a process, "again" right afterwards. A mask is computed at every token
here; in an answer the tokens that a grammar forces need none. Processor time of the one thread that
works, so that other programs disturb little. ``--schemas FILE`` does the same with single schemas.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import thread_time
from typing import Any, TypeVar

from benchmarks import common
from benchmarks.tools import dataset, requests
from benchmarks.tools.requests import FORMAT, Request
from localassist.chat.formats import ToolChoice
from localassist.core import ToolSpec
from localassist.engine import EngineSettings, validate_grammar
from localassist.engine.grammar import Grammar, GrammarCompiler
from localassist.engine.llama.model import LlamaModel
from localassist.errors import GrammarRejected
from localassist.tools.grammar import check_tools

QUESTION = "How long does a request with tools wait for its grammar, and a token for its mask?"
_SMOKE_ITEMS = 3
T = TypeVar("T")


@dataclass(slots=True)
class Times:
    """Processor seconds of every stage; ``refused`` are what a check of refused tools took."""

    check_first: list[float] = field(default_factory=list)
    check_again: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    compile_first: list[float] = field(default_factory=list)
    compile_again: list[float] = field(default_factory=list)
    masks: list[float] = field(default_factory=list)

    def rows(self, of: str) -> list[common.Row]:
        stages = {
            "check, first": self.check_first,
            "check, again": self.check_again,
            "check that refuses": self.refused,
            "compile, first": self.compile_first,
            "compile, again": self.compile_again,
            "mask of a token": self.masks,
        }
        return [_row(of, stage, seconds) for stage, seconds in stages.items() if seconds]


def measure(asked: Iterable[Request], model: LlamaModel) -> Times:
    import numpy as np

    compiler = GrammarCompiler(model.grammar_tokenizer, model.vocab_size)
    logits = np.zeros(model.vocab_size, dtype=np.float32)
    times = Times()
    # Loads llguidance and builds the tokenizer, which happens once per model.
    _compiled(compiler, check_tools([ToolSpec("nothing")], validate_grammar))
    for request in asked:
        check = partial(_checked, request.tools)
        spent: list[float] = []
        tools = _timed(check, spent)
        if tools is None:
            times.refused += spent
            continue
        times.check_first += spent
        _timed(check, times.check_again)
        compiled = partial(_compiled, compiler, tools)
        grammar = _timed(compiled, times.compile_first)
        _timed(compiled, times.compile_again)
        _follow(grammar, model.tokenize(request.written, parse_special=False), logits, times.masks)
    compiler.close()
    return times


def _checked(tools: Sequence[ToolSpec]) -> list[ToolSpec] | None:
    try:
        return check_tools(tools, validate_grammar)
    except GrammarRejected:
        return None


def _compiled(compiler: GrammarCompiler, tools: Sequence[ToolSpec]) -> Grammar:
    constraint = FORMAT.constraint(tools, ToolChoice("auto"), parallel=True)
    assert constraint is not None
    return compiler.compile(constraint.grammar)


def _follow(grammar: Grammar, tokens: Sequence[int], logits: Any, spent: list[float]) -> None:
    """Time the mask before each token. Ends where an answer of the data does not fit its schema."""
    for token in tokens:
        logits.fill(0)
        _timed(partial(grammar.mask, logits), spent)
        if grammar.count_allowed([token]) == 0:
            return
        grammar.accept([token])


def _timed(work: Callable[[], T], spent: list[float]) -> T:
    started = thread_time()
    result = work()
    spent.append(thread_time() - started)
    return result


def _row(of: str, stage: str, seconds: Sequence[float]) -> common.Row:
    return {
        "of": of,
        "stage": stage,
        "samples": len(seconds),
        "p50 ms": 1000 * common.percentile(seconds, 50),
        "p99 ms": 1000 * common.percentile(seconds, 99),
        "worst ms": 1000 * max(seconds),
    }


def add_options(parser: argparse.ArgumentParser) -> None:
    dataset.add_options(parser)
    parser.add_argument(
        "--schemas", type=Path, help="file of JSON lines with schema and valid, measured too"
    )


def main() -> None:
    options = common.options(QUESTION, repeats=1, add=add_options)
    if options.smoke and options.limit is None:
        options.limit = _SMOKE_ITEMS
    try:
        items = dataset.load_all(options)
    except dataset.DatasetProblem as problem:
        sys.exit(str(problem))
    everything = (item for category in items.values() for item in category)
    asked = {dataset.name_of(options): requests.of_items(everything)}
    if options.schemas is not None:
        asked[options.schemas.name] = requests.of_schemas(options.schemas)
    embedded = common.embedded_model()
    settings = EngineSettings(**embedded.measured)
    model = LlamaModel(embedded.path, settings, use_extra_buffers=False)
    try:
        rows = [row for of, some in asked.items() for row in measure(some, model).rows(of)]
    finally:
        model.close()
    common.report(QUESTION, rows, environment=common.environment(embedded))


if __name__ == "__main__":
    main()
