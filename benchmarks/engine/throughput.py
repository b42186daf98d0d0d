"""What does the embedded engine lose of the model's bare speed?

1, 2, 4 and 8 answers at once, prompts included, in this process. The bare loop reads the same
prompts and takes as many steps. Greedy with a stop string, and with the model's own sampling
(penalty, temperature, top-p), which the bare loop does not have.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from time import perf_counter

from benchmarks import common
from benchmarks.engine.bare_loop import BareLoop
from benchmarks.workload import story
from localassist.core import SamplingParams
from localassist.engine import EngineSettings, Finished, Generate, LlamaEngine, load_engine

QUESTION = "What does the embedded engine lose of the model's bare speed?"
_numbers = itertools.count(1000)


def open_engine(model: common.Model) -> LlamaEngine:
    """The engine as ``localassist serve`` opens it."""
    extra = "on" if model.extra_buffers else "off"
    settings = EngineSettings(use_extra_buffers=extra)
    return load_engine(model.path, model.id, settings, common.PROBE_FOLDER)


def fresh_prompt(engine: LlamaEngine) -> list[int]:
    """A short question that no earlier one begins like, so that no part of it is cached."""
    text = f"<|im_start|>user\n{story(next(_numbers))}<|im_end|>\n<|im_start|>assistant\n"
    return engine.tokenize(text, parse_special=True)


async def answer(
    engine: LlamaEngine, prompts: list[list[int]], sampling: SamplingParams
) -> tuple[float, int]:
    """Seconds until all prompts are answered, and the tokens that were produced."""

    async def one(prompt: list[int]) -> int:
        async for item in engine.generate(Generate(prompt, sampling)):
            if isinstance(item, Finished):
                return item.usage.completion_tokens
        raise AssertionError("a generation ends with Finished")

    started = perf_counter()
    counts = await asyncio.gather(*(one(prompt) for prompt in prompts))
    return perf_counter() - started, sum(counts)


async def main() -> None:
    options = common.options(QUESTION, repeats=5)
    tokens, at_once = (8, (1, 4)) if options.smoke else (64, (1, 2, 4, 8))
    model = common.embedded_model()
    engine, loop = open_engine(model), BareLoop(model)
    greedy = SamplingParams(temperature=0.0, max_tokens=tokens, stop=("<end of story>",))
    sampled = replace(SamplingParams(**model.sampling), max_tokens=tokens, seed=7)
    await answer(engine, [fresh_prompt(engine)], greedy)
    loop.answer([fresh_prompt(engine)], 4)
    rows: list[common.Row] = []
    for streams in at_once:
        bare, shares, rates, sampled_shares = [], [], [], []
        for _ in range(options.repeats):
            prompts = [fresh_prompt(engine) for _ in range(streams)]
            limit = streams * tokens / loop.answer(prompts, tokens)
            seconds, produced = await answer(engine, prompts, greedy)
            again = [fresh_prompt(engine) for _ in range(streams)]
            sampled_seconds, sampled_produced = await answer(engine, again, sampled)
            bare.append(limit)
            rates.append(produced / seconds)
            shares.append(produced / seconds / limit)
            sampled_shares.append(sampled_produced / sampled_seconds / limit)
        rows.append(
            {
                "streams": streams,
                "bare tok/s": common.median(bare),
                "engine tok/s": common.median(rates),
                "engine / bare": common.median(shares),
                "± (half range)": common.spread(shares),
                "sampled / bare": common.median(sampled_shares),
            }
        )
    await engine.close()
    loop.close()
    common.report(
        QUESTION,
        rows,
        environment=common.environment(model),
        peak_rss_mb=common.peak_rss_mb(),
    )


if __name__ == "__main__":
    asyncio.run(main())
