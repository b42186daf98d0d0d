"""Does an answer from documents hold what was asked for, in the words of the right document?

All paragraphs of a set of questions (XQuAD, or the own small set) are uploaded as files of one
vector store, and the questions are asked in runs of the default model: quoting first, and beside it
on fewer questions writing freely from the five best passages. An answer is right when it contains
one of the wanted spans. A question without spans is right when nothing is cited. ``--out`` keeps
every answer.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from benchmarks import common
from benchmarks.tools.outcomes import interval

if TYPE_CHECKING:
    from localassist import LocalAssist

QUESTION = "Does an answer from documents hold what was asked for, in the right document's words?"
OWN_SET = Path(__file__).parent / "own_set" / "questions.json"
VARIABLE = "LOCALASSIST_BENCH_XQUAD"
# Of what is found. A small model that writes gets lost in many passages, and reads them slowly.
PASSAGES = {"first": 20, "free": 5}
_BATCH = 100  # files
_QUOTATION = re.compile(r"“([^“”]+)”(?=【)")


@dataclass(frozen=True, slots=True)
class Item:
    """A question. ``file`` is the number of the paragraph that answers it; nothing is wanted of one
    that none answers."""

    question: str
    wanted: Sequence[str]
    file: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a question: its text, the numbers of the files it cites, how many of its
    quotations stand in a cited file, and of how many."""

    item: Item
    text: str
    cited: Sequence[int]
    verbatim: int
    quotations: int
    seconds: float

    @property
    def is_right(self) -> bool:
        if not self.item.wanted:
            return not self.cited
        return any(span in self.text for span in self.item.wanted)


def load(path: Path) -> tuple[list[str], list[Item]]:
    """The paragraphs and questions of a file in the format of SQuAD."""
    paragraphs: list[str] = []
    items = []
    for article in json.loads(path.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            for asked in paragraph["qas"]:
                spans = tuple(answer["text"] for answer in asked["answers"])
                items.append(Item(asked["question"].strip(), spans, len(paragraphs)))
            paragraphs += [paragraph["context"]] if paragraph["context"] else []
    return paragraphs, items


def spread_out(items: Sequence[Item], limit: int) -> list[Item]:
    """At most so many, from all parts of the set."""
    return (
        [items[at * len(items) // limit] for at in range(limit)] if limit < len(items) else [*items]
    )


def upload(client: LocalAssist, paragraphs: Sequence[str]) -> str:
    """The id of a vector store that holds every paragraph as a file of its own."""
    files = [
        client.files.create(file=(f"{number}.txt", text.encode()), purpose="assistants").id
        for number, text in enumerate(paragraphs)
    ]
    store = client.vector_stores.create(name="paragraphs")
    for at in range(0, len(files), _BATCH):
        batch = client.vector_stores.file_batches.create_and_poll(
            store.id, file_ids=files[at : at + _BATCH], poll_interval_ms=50
        )
        assert batch.file_counts.failed == 0, "paragraphs are plain text"
    return store.id


def ask(client: LocalAssist, assistant: str, item: Item, paragraphs: Sequence[str]) -> Answer:
    begun = time.perf_counter()
    thread = client.beta.threads.create(messages=[{"role": "user", "content": item.question}])
    run = client.beta.threads.runs.create_and_poll(
        thread_id=thread.id, assistant_id=assistant, poll_interval_ms=20
    )
    seconds = time.perf_counter() - begun
    if run.status != "completed":
        sys.exit(f"`{item.question}`: the run is {run.status}: {run.last_error}")
    text = client.beta.threads.messages.list(thread.id, run_id=run.id).data[0].content[0].text
    names = {note.file_citation.file_id for note in text.annotations}
    cited = sorted({int(client.files.retrieve(name).filename[:-4]) for name in names})
    quoted = _QUOTATION.findall(text.value)
    sources = " ".join(_plain(paragraphs[number]) for number in cited)
    verbatim = sum(_plain(words) in sources for words in quoted)
    return Answer(item, text.value, cited, verbatim, len(quoted), seconds)


def _plain(text: str) -> str:
    """As quotations show it: inner quotation marks and white space made plain."""
    return " ".join(text.replace("“", '"').replace("”", '"').split())


def row_of(mode: str, answers: Sequence[Answer]) -> common.Row:
    asked = [answer for answer in answers if answer.item.wanted]
    absent = [answer for answer in answers if not answer.item.wanted]
    low, high = interval([answer.is_right for answer in asked])
    quotations = sum(answer.quotations for answer in asked)

    def percent(claims: Sequence[bool]) -> float | None:
        return 100 * sum(claims) / len(claims) if claims else None

    return {
        "quoting": mode,
        "questions": len(asked),
        "holds the answer %": percent([answer.is_right for answer in asked]),
        "95 %": f"{100 * low:.1f}-{100 * high:.1f}",
        "right document cited %": percent([a.item.file in a.cited for a in asked]),
        "only that %": percent([list(a.cited) == [a.item.file] for a in asked]),
        "quotations": quotations,
        "verbatim %": 100 * sum(a.verbatim for a in asked) / quotations if quotations else None,
        "words": sum(len(answer.text.split()) for answer in asked) / len(asked),
        "seconds, median": common.median([answer.seconds for answer in asked]),
        "nothing cited where nothing is %": percent([a.is_right for a in absent]),
    }


def answers_of(
    mode: str, home: Path, store: str, items: Sequence[Item], paragraphs: Sequence[str]
) -> list[Answer]:
    """Every item asked on a fresh thread, of the default model in this way of quoting."""
    from localassist import LocalAssist, load_settings

    model = common.embedded_model()
    settings = load_settings(home, models={"quoting": {model.id: mode}}, engine=model.measured)
    with LocalAssist(settings=settings) as client:
        assistant = client.beta.assistants.create(
            model=model.id,
            instructions="Answer from the documents, in one sentence.",
            tools=[{"type": "file_search", "file_search": {"max_num_results": PASSAGES[mode]}}],
            tool_resources={"file_search": {"vector_store_ids": [store]}},
        ).id
        return [ask(client, assistant, item, paragraphs) for item in items]


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get(VARIABLE),
        help=f"xquad.en.json or its folder (default: {VARIABLE}, else the own small set)",
    )
    parser.add_argument("--limit", type=int, default=200, help="questions, spread out")
    parser.add_argument("--free", type=int, default=50, help="of these, asked freely too")
    parser.add_argument("--out", type=Path, help="file for every answer, as JSON lines")


def keep(out: IO[str], mode: str, answers: Sequence[Answer]) -> None:
    for answer in answers:
        said: common.Row = {
            "quoting": mode,
            "question": answer.item.question,
            "wanted": answer.item.wanted,
        }
        said |= {"right": answer.is_right, "file": answer.item.file, "cited": answer.cited}
        out.write(json.dumps({**said, "answer": answer.text}, ensure_ascii=False) + "\n")
    out.flush()


def main() -> None:
    warnings.simplefilter("ignore", DeprecationWarning)  # the SDK's, of every call
    options = common.options(QUESTION, repeats=1, add=add_options)
    path = OWN_SET if options.data is None else options.data
    path = path / "xquad.en.json" if path.is_dir() else path
    if not path.is_file():
        sys.exit(f"{path} is not there: --data names XQuAD's xquad.en.json or its folder.")
    paragraphs, items = load(path)
    if options.data is not None:
        # Nothing in the paragraphs answers the own questions.
        items = spread_out(items, options.limit)
        items += [Item(item.question, (), -1) for item in spread_out(load(OWN_SET)[1], 20)]
    if options.smoke:
        items, options.free = [*items[:3], *items[-1:]], 1
    from localassist import LocalAssist, load_settings

    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        begun = time.perf_counter()
        with LocalAssist(settings=load_settings(Path(folder))) as client:
            store = upload(client, paragraphs)
        ingested = time.perf_counter() - begun
        out = None
        if options.out is not None:
            out = stack.enter_context(options.out.open("w", encoding="utf-8"))
        rows = []
        for mode in PASSAGES:
            asked = items if mode == "first" else spread_out(items, options.free)
            answers = answers_of(mode, Path(folder), store, asked, paragraphs)
            rows.append(row_of(mode, answers))
            if out is not None:
                keep(out, mode, answers)
    common.report(
        QUESTION,
        rows,
        environment=common.environment(common.embedded_model()),
        data="own set" if options.data is None else "XQuAD, English",
        documents=len(paragraphs),
        ingest_seconds=ingested,
    )


if __name__ == "__main__":
    main()
