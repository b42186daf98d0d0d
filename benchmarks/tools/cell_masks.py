"""How long does a cell wait for its grammar, and a token of it for its mask?

The grammar of whole Python cells, compiled for the embedded model's vocabulary, followed along the
worked examples that the model is shown, and along random walks, which go to places where a model
does not. Processor time of the one thread that works.
"""

from __future__ import annotations

import random
from time import thread_time

from benchmarks import common
from localassist.engine import EngineSettings
from localassist.engine.grammar import Grammar, GrammarCompiler
from localassist.engine.llama.model import LlamaModel
from localassist.tools.code_interpreter.cells import cell_grammar
from localassist.tools.code_interpreter.examples import EXAMPLES

QUESTION = "How long does a cell wait for its grammar, and a token of it for its mask?"
_WALKS, _STEPS = 40, 120


def main() -> None:
    import numpy as np

    options = common.options(QUESTION, repeats=1)
    embedded = common.embedded_model()
    model = LlamaModel(embedded.path, EngineSettings(**embedded.measured), use_extra_buffers=False)
    compiler = GrammarCompiler(model.grammar_tokenizer, model.vocab_size)
    logits = np.zeros(model.vocab_size, dtype=np.float32)
    compiles: list[float] = []
    masks: dict[str, list[float]] = {"worked examples": [], "random walks": []}

    def masked(grammar: Grammar, of: str) -> None:
        logits.fill(0)
        started = thread_time()
        grammar.mask(logits)
        masks[of].append(thread_time() - started)

    def compiled(number: int) -> Grammar:
        # Other names of files make another grammar.
        constraint = cell_grammar([f"pets-{number}.csv", "pets.csv"])
        started = thread_time()
        grammar = compiler.compile(constraint.grammar)
        compiles.append(thread_time() - started)
        return grammar

    try:
        compiled(-1)  # builds the tokenizer, once per model
        compiles.clear()
        for number, (_, code) in enumerate(EXAMPLES):
            grammar = compiled(number)
            for token in model.tokenize(code, parse_special=False):
                masked(grammar, "worked examples")
                grammar.accept([token])
        for seed in range(2 if options.smoke else _WALKS):
            grammar, draws = compiled(seed), random.Random(seed)
            for _ in range(_STEPS):
                if grammar.is_complete():
                    break
                masked(grammar, "random walks")
                allowed = np.flatnonzero(np.isfinite(logits))
                grammar.accept([int(allowed[draws.randrange(len(allowed))])])
    finally:
        compiler.close()
        model.close()
    rows = [_row("compile", compiles), *(_row(f"mask, {of}", some) for of, some in masks.items())]
    common.report(QUESTION, rows, environment=common.environment(embedded))


def _row(of: str, seconds: list[float]) -> common.Row:
    return {
        "of": of,
        "samples": len(seconds),
        "p50 µs": 1e6 * common.percentile(seconds, 50),
        "p99 µs": 1e6 * common.percentile(seconds, 99),
        "worst µs": 1e6 * max(seconds),
    }


if __name__ == "__main__":
    main()
