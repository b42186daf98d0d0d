"""How fast is the model when nothing is done with its output?

``llama_decode`` in a loop, in a process of its own, no sampling: reading a long prompt, steps of 1,
4, 8 and 16 rows, and the whole of a short chat (a prompt of 40 tokens, then the steps).
"""

from __future__ import annotations

from benchmarks import common
from benchmarks.subjects.bare import bare_loop

QUESTION = "How fast is the model when nothing is done with its output?"
_PROMPT = 40


def main() -> None:
    options = common.options(QUESTION, repeats=5)
    tokens, long_prompt = (8, 64) if options.smoke else (64, 1500)
    model = common.embedded_model()
    streams = (1, 4, 8, 16)
    prefill: list[float] = []
    decode: dict[int, list[float]] = {n: [] for n in streams}
    whole: dict[int, list[float]] = {n: [] for n in streams}
    with bare_loop(model) as loop:
        for _, rows in common.in_turns((0, *streams), options.repeats):
            if rows == 0:
                prefill.append(long_prompt / loop.ask("prefill", lengths=[long_prompt]))
                continue
            reading, steps = loop.ask("answer", lengths=[_PROMPT] * rows, tokens=tokens + 1)
            decode[rows].append(rows * tokens / steps)
            whole[rows].append(rows * (tokens + 1) / (reading + steps))
    table: list[common.Row] = [
        {"work": f"prefill of {long_prompt} tokens", "tok/s": common.spread(prefill)}
    ]
    for n in streams:
        table.append({"work": f"steps of {n} rows", "tok/s": common.spread(decode[n])})
    for n in streams:
        table.append({"work": f"{n} chats with their prompts", "tok/s": common.spread(whole[n])})
    common.report(QUESTION, table, environment=common.environment(model), tokens=tokens)


if __name__ == "__main__":
    main()
