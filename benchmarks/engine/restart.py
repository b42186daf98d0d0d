"""Is a conversation still warm after a restart?

The first token of the same next turn: in the process that has just answered the turn before, in a
new process over the same data folder, in a new one over an empty folder. The limit is the bare loop
reading the new tokens alone.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks import common
from benchmarks.engine.followup import speak
from benchmarks.subjects.bare import bare_loop
from benchmarks.subjects.embedded import embedded_engine
from benchmarks.workload import question, shop

QUESTION = "Is a conversation still warm after a restart?"


def main() -> None:
    options = common.options(QUESTION, repeats=5)
    rules, tokens, threads = (8, 4, 2) if options.smoke else (60, 24, 4)
    model = common.embedded_model()
    seconds: dict[str, list[float]] = {
        name: [] for name in ("same process", "after a restart", "cold", "bare, new tokens alone")
    }
    cached: dict[str, list[float]] = {name: [] for name in seconds}

    def ask_all(name: str, folder: Path, conversations: list[list[int]]) -> None:
        """The next turn of every conversation in a new process; the first one opens its file."""
        with embedded_engine(model, folder=folder) as engine:
            readings = [
                speak(engine, list(conversation), question(i, 2), 1)
                for i, conversation in enumerate(conversations)
            ]
        seconds[name].append(common.median([r["first"] for r in readings]))
        cached[name].append(common.median([r["cached"] / r["prompt"] for r in readings]))

    with bare_loop(model) as loop:
        for _ in range(options.repeats):
            with tempfile.TemporaryDirectory() as folder:
                home = Path(folder)
                with embedded_engine(model, folder=home / "kept") as engine:
                    begin = engine.ask("tokenize", text=f"<|im_start|>system\n{shop(rules)}")
                    conversations = [list(begin) for _ in range(threads)]
                    for i, conversation in enumerate(conversations):
                        speak(engine, conversation, question(i, 0), tokens)
                    warm = [
                        speak(engine, conversation, question(i, 1), tokens)
                        for i, conversation in enumerate(conversations)
                    ]
                seconds["same process"].append(common.median([r["first"] for r in warm]))
                cached["same process"].append(
                    common.median([r["cached"] / r["prompt"] for r in warm])
                )
                ask_all("after a restart", home / "kept", conversations)
                ask_all("cold", home / "empty", [c[:] for c in conversations[:1]])
                known, length = int(warm[0]["cached"]), int(warm[0]["prompt"])
                loop.ask("prefill", lengths=[known])
                bare = loop.ask("prefill", lengths=[length], known=known)
                seconds["bare, new tokens alone"].append(bare)
                cached["bare, new tokens alone"].append(known / length)
    rows: list[common.Row] = [
        {
            "turn": name,
            "first token s": common.spread(seconds[name]),
            "over the same process": common.ratio(seconds[name], seconds["same process"]),
            "prompt from cache": common.median(cached[name]),
        }
        for name in seconds
    ]
    common.report(QUESTION, rows, environment=common.environment(model))


if __name__ == "__main__":
    main()
