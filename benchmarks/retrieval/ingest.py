"""How fast does text become searchable, and what does it take?

Ours (units of at most 100 tokens, embedded, their words and windows indexed, segment and index on
disk) beside sentence-transformers in fp32 and Chroma, as they come. The first peer embeds what
people give it, 800 tokens with 400 of overlap, of which the model sees the first 254; the second
embeds our units and nothing else. Everyone is in a process of its own and begins with text and a
loaded model, every repeat in a new folder.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

from benchmarks import common
from benchmarks.subjects.process import Subject

QUESTION = "How fast does text become searchable?"
LIBRARIES = ("openvino", "torch", "sentence-transformers", "chromadb", "tantivy")
OURS = "localassist"
PEERS = {
    "sentence-transformers + Chroma, 800/400": "windows",
    "sentence-transformers + Chroma, our units": "units",
}


def corpus(folder: Path | None, kilobytes: int) -> str:
    """The beginning of the texts in a folder, or of the documentation."""
    where = folder or common.ROOT / "localassist" / "docs"
    paths = sorted(path for path in where.rglob("*") if path.suffix in (".md", ".txt"))
    raw = "\n\n".join(path.read_text("utf-8", "replace") for path in paths).encode()
    return raw[: kilobytes * 1000].decode("utf-8", "ignore")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, help="folder with .md and .txt (default: our docs)")
    parser.add_argument("--kilobytes", type=int, help="how much of it")


def main() -> None:
    options = common.options(QUESTION, repeats=3, add=add_options)
    text = corpus(options.data, options.kilobytes or (4 if options.smoke else 120))
    forms = {OURS: "ours", **PEERS}
    readings: dict[str, list[common.Row]] = {name: [] for name in forms}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        subjects = {}
        for name, form in forms.items():
            details = {"form": form, "cache": str(common.PROBE_FOLDER / "embedders")}
            subject = Subject("benchmarks.subjects.ingesting", details)
            subjects[name] = stack.enter_context(subject)
            subject.ask("warm_up")
        for repeat, name in common.in_turns(list(subjects), options.repeats):
            target = folder / f"{repeat}-{forms[name]}"
            readings[name].append(subjects[name].ask("ingest", text=text, folder=str(target)))
        peaks = {name: common.memory_mb(each.pid, peak=True) for name, each in subjects.items()}
    rows = [row(name, readings, len(text.encode()), peaks[name]) for name in forms]
    model = common.embedded_model()
    common.report(
        QUESTION,
        rows,
        environment=common.environment(model),
        versions={name: version(name) for name in LIBRARIES},
        bytes=len(text.encode()),
    )


def row(
    name: str, readings: dict[str, list[common.Row]], size_bytes: int, peak_mb: float | None
) -> common.Row:
    """One subject's line. Ratios are ours over its own, within a repeat."""
    mine = readings[name]

    def times_ours(field: str) -> common.Spread:
        return common.ratio([one[field] for one in mine], [one[field] for one in readings[OURS]])

    return {
        "subject": name,
        "kB/s": common.spread([size_bytes / 1000 / one["seconds"] for one in mine]),
        "chunks": mine[0]["chunks"],
        "chunks/s": common.spread([one["chunks"] / one["seconds"] for one in mine]),
        "time / ours": times_ours("seconds"),
        "processor time / ours": times_ours("processor_seconds"),
        "peak MB": peak_mb,
        "computed by": mine[0]["backend"],
    }


if __name__ == "__main__":
    main()
