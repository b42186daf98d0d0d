"""Which schemas can be enforced, and rightly?

Every schema of the collection in ``hard_schemas`` is compiled, and its valid and invalid values are
followed token by token: by our compiler with the check of the finished value, and by llama.cpp's
GBNF through llama-cpp-python's ``LlamaGrammar.from_json_schema``. That one runs in a process of its
own, because some grammars end it; it is started again and the schema counts as crashed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from benchmarks import common
from benchmarks.tools.hard_schemas import HardSchema, hard_schemas

QUESTION = "Which schemas can be enforced, and rightly?"
_SMOKE_STEP = 8


def written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def our_verdicts(model: common.Model, schemas: Sequence[HardSchema]) -> list[common.Row]:
    """For each schema: tier, compile ms, mask µs, and what became of each value."""
    from localassist.engine import EngineSettings, validate_grammar
    from localassist.engine.grammar import GrammarCompiler
    from localassist.engine.llama.model import LlamaModel

    weights = LlamaModel(model.path, EngineSettings(), use_extra_buffers=False)
    compiler = GrammarCompiler(weights.grammar_tokenizer, weights.vocab_size)
    compiler.compile('start: "warm"')
    rows = [_our_verdict(hard, weights, compiler, validate_grammar) for hard in schemas]
    compiler.close()
    weights.close()
    return rows


def _our_verdict(hard: HardSchema, weights: Any, compiler: Any, validate: Any) -> common.Row:
    from localassist.chat.formats.json_values import grammar_of, json_rule
    from localassist.tools.grammar import check_schema, tier_of
    from localassist.tools.schema import SchemaProblem, value_problem

    begun = time.perf_counter()
    try:
        schema = check_schema(hard.schema, validate)
        source = grammar_of([f"start: {json_rule(schema)}"]).grammar
        compiler.compile(source)
    except SchemaProblem:
        return {"tier": "refused", "compile_ms": 1000 * (time.perf_counter() - begun)}
    compile_ms = 1000 * (time.perf_counter() - begun)
    masks: list[float] = []

    def allows(value: Any) -> bool:
        tokens = weights.tokenize(written(value), parse_special=False)
        tokens.append(weights.info.end_tokens[0])
        return _follow(compiler.compile(source), tokens, weights.vocab_size, masks)

    def fits(value: Any) -> bool:
        return value_problem(hard.schema, written(value)) is None

    by_grammar = [allows(value) for value in hard.invalid]
    return {
        "tier": tier_of(schema),
        "compile_ms": compile_ms,
        "masks_us": masks,
        "valid": [allows(value) and fits(value) for value in hard.valid],
        "by_grammar": [not allowed for allowed in by_grammar],
        "invalid": [
            not (allowed and fits(value))
            for allowed, value in zip(by_grammar, hard.invalid, strict=True)
        ],
    }


def _follow(grammar: Any, tokens: Sequence[int], size: int, masks: list[float]) -> bool:
    """Whether the mask lets every token through, each computed as while answering."""
    import numpy as np

    for place, token in enumerate(tokens):
        if place == len(tokens) - 1 and grammar.is_complete():
            return True
        logits = np.zeros(size, dtype=np.float32)
        begun = time.perf_counter()
        grammar.mask(logits)
        masks.append(1e6 * (time.perf_counter() - begun))
        if not np.isfinite(logits[token]):
            return False
        if place < len(tokens) - 1:
            grammar.accept([token])
    return True


def peer_verdicts(
    model: common.Model, schemas: Sequence[HardSchema], step: int
) -> list[common.Row]:
    """The same by the peer, as far as it got."""
    from localassist.child import run_child

    rows: list[common.Row] = []
    while len(rows) < len(schemas):
        request = {"model": str(model.path), "step": step, "first": len(rows)}
        outcome = run_child("benchmarks.subjects.packaged_grammar", request, timeout_seconds=600)
        rows += outcome.lines
        if len(rows) < len(schemas):
            rows.append({"tier": "crashed"})
    return rows


def summary(subject: str, category: str, verdicts: Sequence[common.Row]) -> common.Row:
    compiled = [row for row in verdicts if "valid" in row]
    masks = [us for row in compiled for us in row["masks_us"]]
    compiles = [row["compile_ms"] for row in compiled]
    return {
        "subject": subject,
        "category": category,
        "schemas": len(verdicts),
        "compiles": len(compiled),
        "crashed": sum(row["tier"] == "crashed" for row in verdicts),
        "valid accepted": _share([ok for row in compiled for ok in row["valid"]]),
        "invalid rejected": _share([ok for row in compiled for ok in row["invalid"]]),
        "by grammar": _share([ok for row in compiled for ok in row["by_grammar"]]),
        "perfect": sum(all(row["valid"]) and all(row["invalid"]) for row in compiled),
        "compile ms p50": common.percentile(compiles, 50) if compiles else None,
        "p99": common.percentile(compiles, 99) if compiles else None,
        "max": max(compiles, default=None),
        "mask µs p50": common.percentile(masks, 50) if masks else None,
        "mask p99": common.percentile(masks, 99) if masks else None,
    }


def _share(verdicts: Sequence[bool]) -> str | None:
    return f"{100 * sum(verdicts) / len(verdicts):.0f} %" if verdicts else None


def main() -> None:
    options = common.options(QUESTION, repeats=1)
    step = _SMOKE_STEP if options.smoke else 1
    schemas = hard_schemas()[::step]
    model = common.embedded_model()
    found = {"localassist": our_verdicts(model, schemas)}
    if options.peers:
        found["llama-cpp-python"] = peer_verdicts(model, schemas, step)
    rows: list[common.Row] = []
    measured: dict[str, float] = {}
    for subject, verdicts in found.items():
        by_category: dict[str, list[common.Row]] = {}
        for hard, verdict in zip(schemas, verdicts, strict=True):
            by_category.setdefault(hard.category, []).append(verdict)
        rows += [summary(subject, category, these) for category, these in by_category.items()]
        whole = summary(subject, "all", verdicts)
        rows.append(whole)
        measured[f"perfect/{subject}"] = whole["perfect"] / len(verdicts)
    tiers = {tier: sum(row["tier"] == tier for row in found["localassist"]) for tier in _TIERS}
    environment = common.environment(model)
    common.report(QUESTION, rows, tiers=tiers, environment=environment, measured=measured)


_TIERS = ("strict", "one of", "lenient", "refused")

if __name__ == "__main__":
    main()
