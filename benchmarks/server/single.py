"""What does HTTP cost a lone stream?

One chat at a time: over HTTP from our server, in process from the embedded engine, from the servers
of others, and the bare loop. Tokens a second behind the first one, since reading the prompt is the
same for all; and of the whole answer.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks import common, wire, workload
from benchmarks.subjects import servers
from benchmarks.subjects.bare import bare_loop
from benchmarks.subjects.embedded import embedded_engine
from benchmarks.subjects.process import Subject

QUESTION = "What does HTTP cost a lone stream?"
EMBEDDED, BARE = "embedded engine", "bare steps"
_numbers = itertools.count()


def over_http(server: servers.Server, model: str, tokens: int) -> tuple[float, float]:
    """Tokens a second behind the first, and of the whole."""
    asked = workload.messages(workload.story(next(_numbers)))
    body = {"model": model, "messages": asked, "max_tokens": tokens, "temperature": 0}
    answer = asyncio.run(wire.stream_chat(server.base_url, body))
    return answer.decode_rate, answer.tokens / answer.wall


def in_process(engine: Subject, model: common.Model, tokens: int) -> tuple[float, float]:
    """The same, with the sampling that the server takes from the model's manifest."""
    sampling = {**model.sampling, "temperature": 0, "max_tokens": tokens}
    prompt = workload.prompt(workload.story(next(_numbers)))
    answered = engine.ask("answer", prompts=[prompt], sampling=sampling)
    (answer,) = answered["answers"]
    decoding = answer["arrivals"][-1] - answer["arrivals"][0]
    return (answer["tokens"] - 1) / decoding, answer["tokens"] / answered["seconds"]


def bare(loop: Subject, tokens: int) -> tuple[float, float]:
    reading, steps = loop.ask("answer", lengths=[40], tokens=tokens)
    return (tokens - 1) / steps, tokens / (reading + steps)


def main() -> None:
    options = common.options(QUESTION, repeats=9)
    tokens = 16 if options.smoke else 128
    model = common.embedded_model()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        loop = stack.enter_context(bare_loop(model))
        engine = stack.enter_context(embedded_engine(model))
        found = servers.open_servers(stack, model, Path(folder), peers=options.peers)
        for server in found.values():
            over_http(server, model.id, 4)
        subjects = (*found, EMBEDDED, BARE)
        decode: dict[str, list[float]] = {name: [] for name in subjects}
        whole: dict[str, list[float]] = {name: [] for name in subjects}
        for _, name in common.in_turns(subjects, options.repeats):
            if name == BARE:
                rates = bare(loop, tokens)
            elif name == EMBEDDED:
                rates = in_process(engine, model, tokens)
            else:
                rates = over_http(found[name], model.id, tokens)
            decode[name].append(rates[0])
            whole[name].append(rates[1])
    ours = servers.OURS
    rows: list[common.Row] = [
        {
            "subject": name,
            "tok/s behind the first": common.spread(decode[name]),
            "tok/s, prompt included": common.spread(whole[name]),
            "ours / it behind the first": common.ratio(decode[ours], decode[name]),
            "ours / it": common.ratio(whole[ours], whole[name]),
        }
        for name in subjects
    ]
    common.report(
        QUESTION,
        rows,
        environment=common.environment(model),
        measured={"single/in process": common.ratio(decode[ours], decode[EMBEDDED])},
    )


if __name__ == "__main__":
    main()
