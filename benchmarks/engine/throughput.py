"""What does the embedded engine lose of the model's bare speed?

1, 4, 8 and 16 short chats at once, without a server. The bare loop, in another process, reads
prompts of the same lengths and takes as many steps. Greedy with a stop string, and with sampling
(repeat penalty, temperature, top-p), which the bare loop does not have.
"""

from __future__ import annotations

import itertools

from benchmarks import common, workload
from benchmarks.subjects.bare import bare_loop
from benchmarks.subjects.embedded import embedded_engine, produced
from benchmarks.subjects.process import Subject

QUESTION = "What does the embedded engine lose of the model's bare speed?"
WAYS = {
    "greedy": {"temperature": 0.0, "stop": ["<end of story>"]},
    "sampled": {
        "temperature": 0.7,
        "top_p": 0.9,
        "repeat_penalty": 1.1,
        "seed": 7,
        "stop": ["<end of story>"],
    },
}
_numbers = itertools.count()


def engine_rate(engine: Subject, way: str, streams: int, tokens: int) -> tuple[float, list[int]]:
    """Tokens a second, prompts included, and the prompts' lengths."""
    prompts = [workload.prompt(workload.story(next(_numbers))) for _ in range(streams)]
    answered = engine.ask("answer", prompts=prompts, sampling={**WAYS[way], "max_tokens": tokens})
    lengths = [answer["prompt_tokens"] for answer in answered["answers"]]
    return produced(answered) / answered["seconds"], lengths


def main() -> None:
    options = common.options(QUESTION, repeats=5)
    tokens, at_once = (8, (1, 4)) if options.smoke else (64, (1, 4, 8, 16))
    model = common.embedded_model()
    rows: list[common.Row] = []
    with (
        embedded_engine(model, {"max_sequences": max(at_once)}) as engine,
        bare_loop(model) as loop,
    ):
        for streams in at_once:
            lengths = engine_rate(engine, "greedy", streams, 4)[1]
            rates: dict[str, list[float]] = {name: [] for name in (*WAYS, "steps", "whole")}
            for _, name in common.in_turns(("bare", *WAYS), options.repeats):
                if name == "bare":
                    reading, steps = loop.ask("answer", lengths=lengths, tokens=tokens)
                    rates["steps"].append(streams * (tokens - 1) / steps)
                    rates["whole"].append(streams * tokens / (reading + steps))
                else:
                    rates[name].append(engine_rate(engine, name, streams, tokens)[0])
            for name in WAYS:
                rows.append(
                    {
                        "streams": streams,
                        "chosen": name,
                        "tok/s": common.spread(rates[name]),
                        "bare steps tok/s": common.spread(rates["steps"]),
                        "bare tok/s with prompts": common.spread(rates["whole"]),
                        "engine / bare steps": common.ratio(rates[name], rates["steps"]),
                        "engine / bare with prompts": common.ratio(rates[name], rates["whole"]),
                    }
                )
        memory = common.memory_mb(engine.pid, peak=True)
    common.report(QUESTION, rows, environment=common.environment(model), peak_memory_mb=memory)


if __name__ == "__main__":
    main()
