"""Does a next turn stay quick when conversations take turns?

Six conversations share one long system prompt and speak in turn, which is the worst case for a
cache that remembers only the last speaker. Each answer's tokens go back into the next prompt as
they were. The limit is the bare loop reading just the new tokens behind the known ones.
"""

from __future__ import annotations

import asyncio
from time import perf_counter

from benchmarks import common
from benchmarks.engine.bare_loop import BareLoop
from benchmarks.engine.throughput import open_engine
from benchmarks.workload import question, shop
from localassist.core import SamplingParams
from localassist.engine import Finished, Generate, LlamaEngine, Piece

QUESTION = "Does a next turn stay quick when conversations take turns?"


async def speak(
    engine: LlamaEngine, prompt: list[int], sampling: SamplingParams
) -> tuple[float, int, list[int]]:
    """Seconds to the first piece, cached prompt tokens, and the answer's tokens."""
    started = perf_counter()
    first, said, cached = 0.0, [], 0
    async for item in engine.generate(Generate(prompt, sampling)):
        if isinstance(item, Piece):
            first = first or perf_counter() - started
            said += item.token_ids
        elif isinstance(item, Finished):
            cached = item.usage.cached_tokens
    return first, cached, said


async def main() -> None:
    options = common.options(QUESTION, repeats=3)
    threads, turns, tokens, rules = (2, 2, 4, 8) if options.smoke else (6, 4, 24, 60)
    model = common.embedded_model()
    sampling = SamplingParams(temperature=0.0, max_tokens=tokens)
    loop = BareLoop(model)
    firsts: list[list[float]] = [[] for _ in range(turns)]
    limits: list[list[float]] = [[] for _ in range(turns)]
    cached: list[list[float]] = [[] for _ in range(turns)]
    for _ in range(options.repeats):
        engine = open_engine(model)  # a fresh one: nothing is cached from the turn before
        begin = engine.tokenize(f"<|im_start|>system\n{shop(rules)}", parse_special=True)
        await speak(engine, engine.tokenize("Hello", parse_special=False), sampling)
        conversations = [list(begin) for _ in range(threads)]
        for turn in range(turns):
            for i, tokens_so_far in enumerate(conversations):
                text = f"<|im_end|>\n<|im_start|>user\n{question(i, turn)}"
                tail = f"{text}<|im_end|>\n<|im_start|>assistant\n"
                tokens_so_far += engine.tokenize(tail, parse_special=True)
                first, from_cache, said = await speak(engine, tokens_so_far, sampling)
                firsts[turn].append(first)
                cached[turn].append(from_cache / len(tokens_so_far))
                loop.prefill([tokens_so_far[:from_cache]])
                limits[turn].append(loop.prefill([tokens_so_far], known=from_cache))
                tokens_so_far += said
        await engine.close()
    loop.close()
    rows: list[common.Row] = [
        {
            "turn": turn + 1,
            "first token, median s": common.median(firsts[turn]),
            "p95 s": common.percentile(firsts[turn], 95),
            "bare prefill of the new tokens s": common.median(limits[turn]),
            "first / bare": common.median(
                [a / b for a, b in zip(firsts[turn], limits[turn], strict=True)]
            ),
            "prompt from cache, median": common.median(cached[turn]),
        }
        for turn in range(turns)
    ]
    common.report(QUESTION, rows, environment=common.environment(model), threads=threads)


if __name__ == "__main__":
    asyncio.run(main())
