"""Does a small model's code come out right?

A set of our own, ``coding_set``: questions with and without files, some that want no code. For each
it is asked whether code is wanted, the cell is written and run, mended where it fails, and what it
prints, shows and writes is compared with what was worked out by other means. Once as the product
does it, once with the worked forms left out, so that the model writes every cell under the grammar.

Cells run without isolation in ``--python``, an interpreter that has pandas and matplotlib.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import common
from benchmarks.tools.outcomes import interval
from localassist.core import ChatMessage
from localassist.engine import EngineSettings
from localassist.runtime import open_runtime
from localassist.settings import Settings
from localassist.tools.code_interpreter import Coder, Written
from localassist.tools.code_interpreter.base import DATA_FOLDER, CodeFile, Execution

QUESTION = "Does a small model's code come out right?"
FORMS, MODEL = "worked forms", "model alone"
_SET = Path(__file__).parent / "coding_set"
_RUNNER = common.ROOT / "benchmarks" / "subjects" / "plain_cells.py"
_SMOKE_ITEMS = 4
_MOST_CELLS = 3
_SECONDS = 60
_HEAD_CHARACTERS = 8000
_TEXTS = (".csv", ".json", ".txt")


@dataclass(slots=True)
class Outcome:
    """What became of one question."""

    kind: str
    wanted: bool
    decided: bool
    seconds: float = 0.0
    endings: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    is_right: bool = False
    said: str = ""
    code: str = ""


class Folder:
    """A folder that stands for /mnt/data, with the files of a question."""

    def __init__(self, names: Sequence[str], python: str) -> None:
        self._python = python
        self._ran: list[str] = []
        self.path = Path(tempfile.mkdtemp())
        for name in names:
            shutil.copy(_SET / "files" / name, self.path / name)
        self._first = set(names)

    @property
    def files(self) -> list[CodeFile]:
        return [_code_file(self.path / name) for name in sorted(self._first)]

    def run(self, code: str) -> tuple[Execution, list[str]]:
        """The cell after those that went before, and the titles of its figures."""
        cells = [cell.replace(DATA_FOLDER, str(self.path)) for cell in [*self._ran, code]]
        try:
            done = subprocess.run(
                [self._python, str(_RUNNER)],
                input=json.dumps({"cells": cells}),
                cwd=self.path,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Execution(code, "timed_out", "The code took too long."), []
        if done.returncode:
            return Execution(code, "died", done.stderr), []
        found = json.loads(done.stdout)
        if found["ending"] == "ok":
            self._ran.append(code)
        logs = found["logs"].replace(str(self.path), DATA_FOLDER)
        images = tuple(f"image-{at}" for at, _ in enumerate(found["figures"]))
        made = {path.name for path in self.path.iterdir() if path.name[0] != "."} - self._first
        files = {name: f"file-{name}" for name in made}
        return Execution(code, found["ending"], logs, images, files), found["figures"]

    def close(self) -> None:
        shutil.rmtree(self.path)


def _code_file(path: Path) -> CodeFile:
    head = None
    if path.suffix in _TEXTS:
        head = path.read_text("utf-8")[:_HEAD_CHARACTERS]
        head = head[: head.rfind("\n") + 1] or head
    return CodeFile(path.name, f"file-{path.name}", path.stat().st_size, head)


async def ask(coder: Coder, item: dict[str, Any], python: str, *, demanded: bool) -> Outcome:
    """The messages of an item one after the other in one folder; the last one counts."""
    folder = Folder(item.get("files", ()), python)
    conversation: list[ChatMessage] = []
    outcome = Outcome(item["kind"], item["wanted"], False)
    try:
        for message in [*item.get("before", ()), item["question"]]:
            conversation.append(ChatMessage("user", message))
            outcome = await _turn(coder, item, conversation, folder, demanded)
            conversation.append(ChatMessage("assistant", outcome.said))
    finally:
        folder.close()
    return outcome


async def _turn(
    coder: Coder,
    item: dict[str, Any],
    conversation: Sequence[ChatMessage],
    folder: Folder,
    demanded: bool,
) -> Outcome:
    started = perf_counter()
    files = folder.files
    decision = await coder.decide(conversation, files, demanded)
    outcome = Outcome(item["kind"], item["wanted"], decision.is_wanted)
    outcome.evidence.append(decision.evidence)
    outcome.seconds = perf_counter() - started
    executions: list[Execution] = []
    titles: list[str] = []
    while decision.is_wanted and item["wanted"] and len(executions) < _MOST_CELLS:
        started = perf_counter()
        written = await _written(coder, conversation, files, executions)
        outcome.seconds += perf_counter() - started
        if not written.code:
            break
        outcome.evidence.append(written.evidence)
        outcome.code = written.code
        execution, titles = folder.run(written.code)
        executions.append(execution)
        outcome.endings.append(execution.ending)
        if not execution.failed:
            break
    outcome.said = "".join(coder.answer(conversation, executions) or [])
    if executions:
        outcome.is_right = _is_right(item, executions[-1], titles, outcome.said)
    elif not item["wanted"]:
        outcome.is_right = not decision.is_wanted
    return outcome


async def _written(
    coder: Coder,
    conversation: Sequence[ChatMessage],
    files: Sequence[CodeFile],
    executions: Sequence[Execution],
) -> Written:
    said = ""
    async with aclosing(coder.write(conversation, files, executions)) as items:
        async for item in items:
            if isinstance(item, Written):
                assert item.code == said
                return item
            said += item
    raise AssertionError("a cell always ends")


def _is_right(item: dict[str, Any], last: Execution, titles: Sequence[str], said: str) -> bool:
    """It ran, and all that was wanted stands in the answer, the titles and the files."""
    shown = " ".join(titles).lower()
    texts = f"{said}\n{last.logs}\n{last.code}".replace(",", "")
    wanted = [text.replace(",", "") for text in item.get("expect", ())]
    return (
        not last.failed
        and all(text in texts for text in wanted)
        and all(word.lower() in shown for word in item.get("figure", ()))
        and item.get("makes", next(iter(last.files), None)) in (*last.files, None)
    )


def rows_of(name: str, outcomes: Sequence[Outcome]) -> list[common.Row]:
    """A row for each kind of question, and one for all."""
    kinds = {outcome.kind: [o for o in outcomes if o.kind == outcome.kind] for outcome in outcomes}
    groups = {**kinds, "all wanted": [o for o in outcomes if o.wanted]}
    return [_row(name, kind, some) for kind, some in groups.items() if some]


def _row(name: str, kind: str, outcomes: Sequence[Outcome]) -> common.Row:
    ran = [outcome for outcome in outcomes if outcome.endings]
    low, high = interval([outcome.is_right for outcome in outcomes])
    return {
        "kind": kind,
        "subject": name,
        "n": len(outcomes),
        "decided %": _share([o.decided == o.wanted for o in outcomes]),
        "runs at once %": _share([o.endings[0] == "ok" for o in ran]),
        "runs %": _share([o.endings[-1] == "ok" for o in ran]),
        "right %": _share([o.is_right for o in outcomes]),
        "95 %": f"{100 * low:.0f}–{100 * high:.0f}",
        "s": common.median([o.seconds for o in outcomes]),
    }


def _share(claims: Sequence[bool]) -> float | None:
    return 100 * sum(claims) / len(claims) if claims else None


async def compare(options: argparse.Namespace, items: Sequence[dict[str, Any]]) -> list[common.Row]:
    found = common.embedded_model()
    rows: list[common.Row] = []
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home), engine=EngineSettings(**found.measured))
        async with (
            open_runtime(settings) as runtime,
            runtime.models.chat(found.id, calls_functions=True) as model,
        ):
            assert model.coder is not None
            # Whether code is wanted is settled without the forms' help by demanding it.
            alone = Coder(model.engine, model.prompts, worked=lambda asked: None)
            subjects = {FORMS: (model.coder, False), MODEL: (alone, True)}
            for name in options.subject or list(subjects):
                coder, demanded = subjects[name]
                outcomes = []
                for item in items if not demanded else [i for i in items if i["wanted"]]:
                    outcome = await ask(coder, item, options.python, demanded=demanded)
                    outcomes.append(outcome)
                    _keep(options.out, name, item, outcome)
                rows += rows_of(name, outcomes)
    common.report(QUESTION, rows, environment=common.environment(found))
    return rows


def _keep(path: Path | None, name: str, item: dict[str, Any], outcome: Outcome) -> None:
    if path is None:
        return
    record = {
        "subject": name,
        "question": item["question"],
        "right": outcome.is_right,
        "decided": outcome.decided,
        "evidence": outcome.evidence,
        "endings": outcome.endings,
        "said": outcome.said,
        "code": outcome.code,
    }
    with path.open("a", encoding="utf-8") as out:
        out.write(json.dumps(record, ensure_ascii=False) + "\n")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--python", default=sys.executable, help="what runs the cells")
    parser.add_argument("--questions", default="questions", choices=("questions", "held_out"))
    parser.add_argument("--out", type=Path, help="file for every answer, as JSON lines")
    parser.add_argument("--limit", type=int, help="only so many questions, evenly chosen")
    parser.add_argument("--subject", action="append", choices=(FORMS, MODEL), help="default: both")


def main() -> None:
    options = common.options(QUESTION, repeats=1, add=add_options)
    lines = (_SET / f"{options.questions}.jsonl").read_text("utf-8").splitlines()
    items = [json.loads(line) for line in lines]
    limit = _SMOKE_ITEMS if options.smoke and options.limit is None else options.limit
    if limit is not None:
        items = items[:: max(1, len(items) // limit)][:limit]
    asyncio.run(compare(options, items))


if __name__ == "__main__":
    main()
