"""Which calls does a small model make, and are they right?

The categories of BFCL, or of the own small set, asked of localassist and of llama-cpp-python with
the same weights: with ``tool_choice`` auto, and where calls are wanted with required, which shows
how arguments are filled when it is settled that there is a call. Greedy on both sides, so once is
enough. ``--out`` keeps every answer, as JSON lines.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO

from benchmarks import common
from benchmarks.subjects.calling import our_caller
from benchmarks.subjects.packaged_calling import packaged_caller
from benchmarks.subjects.process import Subject, SubjectDied
from benchmarks.tools import dataset
from benchmarks.tools.dataset import IRRELEVANCE, Item
from benchmarks.tools.outcomes import Outcome, interval, judged, summary

QUESTION = "Which calls does a small model make, and are they right?"
OURS = "localassist"
PEER = "llama-cpp-python"
CHOICES = ("auto", "required")
_SMOKE_ITEMS = 2


class Asked:
    """A subject that is started again when it ends at a question."""

    def __init__(self, start: Callable[[], Subject]) -> None:
        self._start = start
        self._subject: Subject | None = None

    def ask(self, item: Item, choice: str) -> Outcome:
        if self._subject is None:
            self._subject = self._start()
        try:
            answered = self._subject.ask(
                "call", messages=item.messages, tools=item.tools, choice=choice
            )
        except SubjectDied as died:
            self.close()
            answered = {"calls": [], "error": f"the process ended: {died}"}
        return judged(item, choice, answered)

    def close(self) -> None:
        if self._subject is not None:
            self._subject.close()
            self._subject = None


def choices_for(category: str) -> tuple[str, ...]:
    return ("auto",) if category == IRRELEVANCE else CHOICES


def can_do(name: str, category: str, choice: str) -> bool:
    """The peer can demand a call of one tool, but not of any."""
    return name != PEER or category != "multiple" or choice != "required"


def ask_all(
    subject: Asked, name: str, items: Sequence[Item], choice: str, out: IO[str] | None
) -> list[Outcome]:
    """One question after the other; ``out`` gets every answer at once."""
    outcomes = []
    for item in items:
        outcome = subject.ask(item, choice)
        outcomes.append(outcome)
        if out is not None:
            out.write(json.dumps(outcome.record(name), ensure_ascii=False) + "\n")
            out.flush()
    return outcomes


def rows_of(category: str, choice: str, found: Mapping[str, Sequence[Outcome]]) -> list[common.Row]:
    """A row for each subject; ours with how many times as often it is right as the peer."""
    figures = {name: summary(outcomes) for name, outcomes in found.items()}
    peer = figures[PEER]["right %"] if PEER in figures else None
    return [
        {
            "category": category,
            "choice": choice,
            "subject": name,
            **row,
            "/ peer": row["right %"] / peer if peer and name != PEER else None,
        }
        for name, row in figures.items()
    ]


def measured(outcomes: Mapping[tuple[str, str], Sequence[Outcome]]) -> dict[str, common.Spread]:
    """What the targets are about, from our side with auto: shares, ± half of the interval."""

    def share(said: Sequence[bool]) -> common.Spread:
        low, high = interval(said)
        return common.Spread(sum(said) / len(said), (high - low) / 2)

    auto = {name: said for (name, choice), said in outcomes.items() if choice == "auto"}
    found = {f"calls/{name}": share([o.is_right for o in said]) for name, said in auto.items()}
    wanted = [o for name, said in auto.items() if name != IRRELEVANCE for o in said]
    if wanted:
        found["calls/kept"] = share([bool(o.calls) for o in wanted])
    valid = [fits for said in outcomes.values() for o in said for fits in o.valid]
    if valid:
        found["calls/valid"] = share(valid)
    return found


def add_options(parser: argparse.ArgumentParser) -> None:
    dataset.add_options(parser)
    parser.add_argument("--out", type=Path, help="file for every answer, as JSON lines")
    parser.add_argument("--choice", action="append", choices=CHOICES, help="default: both")
    parser.add_argument(
        "--subject", action="append", choices=(OURS, PEER), help="default: as --peers says"
    )


def compare(
    subjects: Mapping[str, Asked], items: Sequence[Item], choice: str, out: IO[str] | None
) -> dict[str, list[Outcome]]:
    """Every subject that can do it, one after the other; shows their figures."""
    category = items[0].category
    found = {
        name: ask_all(subject, name, items, choice, out)
        for name, subject in subjects.items()
        if can_do(name, category, choice)
    }
    common.print_table(rows_of(category, choice, found))
    return found


def main() -> None:
    options = common.options(QUESTION, repeats=1, add=add_options)
    if options.smoke and options.limit is None:
        options.limit = _SMOKE_ITEMS
    try:
        items = dataset.load_all(options)
    except dataset.DatasetProblem as problem:
        sys.exit(str(problem))
    model = common.embedded_model()
    starts = {OURS: lambda: our_caller(model), PEER: lambda: packaged_caller(model)}
    chosen = options.subject or (list(starts) if options.peers else [OURS])
    found: dict[tuple[str, str], dict[str, list[Outcome]]] = {}
    with ExitStack() as stack:
        out = None
        if options.out is not None:
            out = stack.enter_context(options.out.open("w", encoding="utf-8"))
        subjects = {name: stack.enter_context(closing(Asked(starts[name]))) for name in chosen}
        for category, asked in items.items():
            for choice in choices_for(category):
                if choice in (options.choice or CHOICES):
                    found[category, choice] = compare(subjects, asked, choice, out)
    ours = {asked: said[OURS] for asked, said in found.items() if OURS in said}
    common.report(
        QUESTION,
        [row for asked, said in found.items() for row in rows_of(*asked, said)],
        environment=common.environment(model),
        data=dataset.name_of(options),
        # The targets are about BFCL.
        measured={} if options.data is None else measured(ours),
    )


if __name__ == "__main__":
    main()
