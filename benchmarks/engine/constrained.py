"""What does a grammar cost, or save?

The same cached questions at 1, 4 and 8 at once: answered freely, and under a JSON schema whose
forced parts need no choice, as tools and response formats set it. The free answer stops at as many
tokens as the constrained one had. Nothing is guessed ahead, since JSON repeats itself more than a
story does.
"""

from __future__ import annotations

import json
from typing import Any

from benchmarks import common, workload
from benchmarks.subjects.embedded import embedded_engine, produced
from benchmarks.subjects.process import Subject
from localassist.chat.formats.json_values import grammar_of, json_rule

QUESTION = "What does a grammar cost, or save?"


def schema(articles: int) -> dict[str, Any]:
    """A list of articles, each an object with named fields, as extraction and tools ask for."""
    fields: dict[str, Any] = {
        "article_name": {"type": "string", "maxLength": 24},
        "price_in_euros": {"type": "integer", "minimum": 0, "maximum": 999},
        "availability": {"enum": ["in stock", "on order", "sold out"]},
    }
    item = {
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }
    return {"type": "array", "items": item, "minItems": articles, "maxItems": articles}


def ask(engine: Subject, streams: int, limits: list[int], grammar: str | None) -> Any:
    """Asked at once, each with its own most tokens."""
    prompts = [workload.prompt(workload.story(i)) for i in range(streams)]
    sampling = {"temperature": 0.0}
    return engine.ask("answer", prompts=prompts, sampling=sampling, grammar=grammar, limits=limits)


def rate(answered: Any) -> float:
    return produced(answered) / float(answered["seconds"])


def main() -> None:
    options = common.options(QUESTION, repeats=5)
    articles, at_once = (1, (1, 2)) if options.smoke else (4, (1, 4, 8))
    model = common.embedded_model()
    grammar = grammar_of([f"start: {json_rule(schema(articles))}"]).grammar
    rows: list[common.Row] = []
    with embedded_engine(model, {"speculation": "off"}) as engine:
        for streams in at_once:
            first = ask(engine, streams, [100 * articles] * streams, grammar)
            for answer in first["answers"]:
                assert len(json.loads(answer["text"])) == articles
            limits = [answer["tokens"] for answer in first["answers"]]
            free: list[float] = []
            bound: list[float] = []
            said = 0
            for _, is_bound in common.in_turns((False, True), options.repeats):
                answered = ask(engine, streams, limits, grammar if is_bound else None)
                (bound if is_bound else free).append(rate(answered))
                said = said if is_bound else produced(answered)
            rows.append(
                {
                    "at once": streams,
                    "tokens": sum(limits),
                    "tokens of the free ones": said,
                    "free tok/s": common.spread(free),
                    "constrained tok/s": common.spread(bound),
                    "constrained / free": common.ratio(bound, free),
                }
            )
    worst = min((row["constrained / free"] for row in rows), key=lambda ratio: ratio.median)
    measured = {"constrained": worst}
    common.report(QUESTION, rows, environment=common.environment(model), measured=measured)


if __name__ == "__main__":
    main()
