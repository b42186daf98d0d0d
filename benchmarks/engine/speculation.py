"""What does guessing ahead bring when an answer quotes its context?

A passage and a request to repeat a part of it, with and without speculation, each engine in a
process of its own. The quotations must be the same to the token. A story, which quotes nothing,
shows what wrong guesses cost; where two tokens are nearly as likely, it changes with the number of
rows in a step anyway, so with others at once it need not be the same.
"""

from __future__ import annotations

from benchmarks import common
from benchmarks.subjects.embedded import embedded_engine, produced
from benchmarks.workload import prompt, shop, story

QUESTION = "What does guessing ahead bring when an answer quotes its context?"


def quoting(number: int, rules: int) -> str:
    """Begins its own answer, as a small model needs it to quote at all."""
    passage = shop(rules).replace("hardware", f"hardware ({number})")
    asked = prompt(f"{passage}\n\nRepeat all rules of the text above, word for word.")
    return f"{asked}Rule 0: article 0 costs 0 euros and ships in 1 days. Rule 1:"


def main() -> None:
    options = common.options(QUESTION, repeats=5)
    rules, tokens, at_once = (6, 24, (1, 2)) if options.smoke else (20, 192, (1, 4, 8))
    model = common.embedded_model()
    rows: list[common.Row] = []
    kept: list[float] = []
    sampling = {"temperature": 0.0, "max_tokens": tokens}
    with (
        embedded_engine(model, {"speculation": "auto"}) as guessing,
        embedded_engine(model, {"speculation": "off"}) as plain,
    ):
        engines = {"with": guessing, "without": plain}
        for kind in ("quotes", "story"):
            for streams in at_once:
                prompts = [
                    quoting(i, rules) if kind == "quotes" else prompt(story(i))
                    for i in range(streams)
                ]
                rates: dict[str, list[float]] = {name: [] for name in engines}
                said = {}
                for engine in engines.values():
                    engine.ask("answer", prompts=prompts, sampling={**sampling, "max_tokens": 1})
                for _, name in common.in_turns(tuple(engines), options.repeats):
                    answered = engines[name].ask("answer", prompts=prompts, sampling=sampling)
                    rates[name].append(produced(answered) / answered["seconds"])
                    said[name] = [answer["token_ids"] for answer in answered["answers"]]
                pairs = zip(said["with"], said["without"], strict=True)
                same = sum(with_it == without for with_it, without in pairs)
                kept += [same / streams] if kind == "quotes" else []
                rows.append(
                    {
                        "answer": kind,
                        "at once": streams,
                        "without tok/s": common.spread(rates["without"]),
                        "with tok/s": common.spread(rates["with"]),
                        "with / without": common.ratio(rates["with"], rates["without"]),
                        "identical answers": f"{same} of {streams}",
                    }
                )
        counters = guessing.ask("state")["counters"]
    same_quotes = common.Spread(min(kept), 0.0)
    measured = {"guessing": rows[0]["with / without"], "guessing/same": same_quotes}
    common.report(
        QUESTION,
        rows,
        environment=common.environment(model),
        counters=counters,
        measured=measured,
    )


if __name__ == "__main__":
    main()
