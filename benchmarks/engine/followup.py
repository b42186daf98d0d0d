"""Does a next turn stay quick when conversations take turns?

Six conversations share one long system prompt and speak in turn, which is the worst case for a
cache that remembers only the last speaker. Each answer's tokens go back into the next prompt as
they were. The limit is the bare loop reading just the new tokens behind the known ones.
"""

from __future__ import annotations

from benchmarks import common
from benchmarks.subjects.bare import bare_loop
from benchmarks.subjects.embedded import embedded_engine
from benchmarks.subjects.process import Subject
from benchmarks.workload import question, shop, spoken

QUESTION = "Does a next turn stay quick when conversations take turns?"


def speak(engine: Subject, conversation: list[int], text: str, tokens: int) -> dict[str, float]:
    """Ask, and add question and answer to the conversation's tokens."""
    conversation += engine.ask("tokenize", text=spoken(text))
    sampling = {"temperature": 0.0, "max_tokens": tokens}
    (answer,) = engine.ask("answer", prompts=[conversation], sampling=sampling)["answers"]
    conversation += answer["token_ids"]
    return {
        "first": answer["arrivals"][0],
        "prompt": answer["prompt_tokens"],
        "cached": answer["cached_tokens"],
    }


def main() -> None:
    options = common.options(QUESTION, repeats=3)
    threads, turns, tokens, rules = (2, 2, 4, 8) if options.smoke else (6, 4, 24, 60)
    model = common.embedded_model()
    found: list[list[dict[str, float]]] = [[] for _ in range(turns)]
    with bare_loop(model) as loop:
        for _ in range(options.repeats):
            with embedded_engine(model) as engine:  # a fresh one: nothing is cached yet
                begin = engine.ask("tokenize", text=f"<|im_start|>system\n{shop(rules)}")
                conversations = [list(begin) for _ in range(threads)]
                for turn in range(turns):
                    for i, conversation in enumerate(conversations):
                        reading = speak(engine, conversation, question(i, turn), tokens)
                        known, prompt = int(reading["cached"]), int(reading["prompt"])
                        loop.ask("prefill", lengths=[known] if known else [])
                        reading["bare"] = loop.ask("prefill", lengths=[prompt], known=known)
                        found[turn].append(reading)
    rows: list[common.Row] = []
    for turn, readings in enumerate(found):
        firsts = [reading["first"] for reading in readings]
        bare = [reading["bare"] for reading in readings]
        rows.append(
            {
                "turn": turn + 1,
                "first token, median s": common.median(firsts),
                "p95 s": common.percentile(firsts, 95),
                "bare prefill of the new tokens s": common.median(bare),
                "first / bare": common.median([a / b for a, b in zip(firsts, bare, strict=True)]),
                "prompt from cache, median": common.median(
                    [reading["cached"] / reading["prompt"] for reading in readings]
                ),
            }
        )
    common.report(QUESTION, rows, environment=common.environment(model), threads=threads)


if __name__ == "__main__":
    main()
