"""``localassist bench``: how well retrieval answers known questions, and what would be better."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from localassist.cli.bench_tables import print_tables
from localassist.cli.output import fail, progress_bar, report, say

if TYPE_CHECKING:
    from localassist.evaluation.compare import Comparison, Options
    from localassist.evaluation.compare import Progress as OnProgress
    from localassist.evaluation.corpus import Document, Problem
    from localassist.evaluation.questions import Question
    from localassist.settings import Settings


app = typer.Typer(help="Measure localassist on your own data.", no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Keeps `retrieval` a command of its own, as the only one."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What to search and what to ask, as the command line said it."""

    corpus: Path | None
    questions: Path | None
    set_name: str | None
    data: Path | None
    generate: int
    save: Path
    limit: int | None
    seed: int


@app.command("retrieval")
def retrieval(
    context: typer.Context,
    corpus: Annotated[
        Path | None,
        typer.Argument(help="Your documents: a folder or a file.", show_default=False),
    ] = None,
    questions: Annotated[
        Path | None,
        typer.Argument(help="Your questions with references: CSV or JSONL.", show_default=False),
    ] = None,
    set_name: Annotated[
        str | None,
        typer.Option(
            "--set",
            help="A known set instead: own (comes along), chunking, cranfield or xquad.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with the data of that set.", show_default=False),
    ] = None,
    generate: Annotated[
        int,
        typer.Option(min=0, help="Let the local model make up this many questions."),
    ] = 0,
    save: Annotated[
        Path,
        typer.Option(help="File to save the generated questions in."),
    ] = Path("generated-questions.jsonl"),
    grid: Annotated[
        list[str] | None,
        typer.Option(
            help="AXIS=VALUE,VALUE: compare all combinations. Axes: chunking, mode, embedder, "
            "lexical, windows.",
            show_default=False,
        ),
    ] = None,
    budgets: Annotated[
        str | None,
        typer.Option(help="Token budgets; by default 500,1000,2000,4000.", show_default=False),
    ] = None,
    k: Annotated[str, typer.Option("--k", help="Numbers of results.")] = "5",
    tokens: Annotated[
        str, typer.Option(help="Whose tokens are counted: embedder or cl100k.")
    ] = "embedder",
    vocabulary: Annotated[
        Path | None,
        typer.Option(
            help="The file cl100k_base.tiktoken, for --tokens cl100k.", show_default=False
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Ask at most this many questions.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="For intervals, sampling and generation.")] = 0,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="Write all figures to this file.", show_default=False),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Draw recall against the budget: a .png, .svg or .html file.", show_default=False
        ),
    ] = None,
) -> None:
    """Measure how well questions find their answers: recall, precision, IoU, nDCG."""
    import asyncio

    from localassist.evaluation.plot import check, draw
    from localassist.evaluation.report import report as figures
    from localassist.evaluation.variants import grid as variants_of

    settings: Settings = context.obj
    variants = variants_of(grid or [])
    wanted = _options(settings, budgets, k, tokens, vocabulary, is_own=_is_own(corpus, set_name))
    if plot is not None:
        check(plot)
        wanted = _with_curve(wanted)
    asked = _Asked(corpus, questions, set_name, data, generate, save, limit, seed)
    with _progress() as on_progress:
        problem = asyncio.run(_problem(settings, asked, on_progress))
        comparison = asyncio.run(_compare(settings, problem, variants, wanted, on_progress))
    print_tables(comparison, seed)
    for missing in problem.not_found:
        report(f"not found, question {missing.question.id}: {missing.what}")
    for name, why in problem.unreadable:
        report(f"left out: {name}: {why}")
    if json_file is not None:
        _write(json_file, json.dumps(figures(comparison, seed), indent=1, ensure_ascii=False))
    if plot is not None:
        draw(comparison, plot, seed)
        say(f"Drawn: {plot}")


def _is_own(corpus: Path | None, set_name: str | None) -> bool:
    return set_name == "own" or (set_name is None and corpus is None)


def _options(
    settings: Settings,
    budgets: str | None,
    k: str,
    tokens: str,
    vocabulary: Path | None,
    *,
    is_own: bool,
) -> Options:
    from localassist.evaluation.compare import Options
    from localassist.evaluation.measure import BUDGETS, SMALL_BUDGETS
    from localassist.evaluation.tokens import cl100k

    if tokens not in ("embedder", "cl100k"):
        fail(f"--tokens {tokens}: there are embedder and cl100k.")
    if tokens == "cl100k" and vocabulary is None:
        fail("--tokens cl100k needs --vocabulary, the file cl100k_base.tiktoken.")
    usual = SMALL_BUDGETS if is_own else BUDGETS
    options = Options(
        budgets=usual if budgets is None else _numbers("--budgets", budgets),
        numbers=_numbers("--k", k),
        cache=settings.home / "cache" / "evaluation",
    )
    if vocabulary is None or tokens != "cl100k":
        return options
    return replace(options, count_tokens=cl100k(vocabulary), tokens_name="cl100k tokens")


def _numbers(option: str, text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() and int(part) for part in parts):
        fail(f"{option} {text}: expected numbers from 1 on, separated by commas.")
    return tuple(sorted({int(part) for part in parts}))


def _with_curve(options: Options) -> Options:
    """With the budgets between, that the curve may be one."""
    from localassist.evaluation.plot import CURVE

    between = {size for size in CURVE if size <= options.budgets[-1]}
    return replace(options, curve=tuple(sorted(between - set(options.budgets))))


async def _problem(settings: Settings, asked: _Asked, on_progress: OnProgress) -> Problem:
    from localassist.evaluation.sets import own_set, third_party

    if asked.corpus is not None and asked.set_name is not None:
        fail("Name your documents or a --set, not both.")
    if asked.corpus is not None:
        problem = await _users(settings, asked, asked.corpus, on_progress)
    elif asked.generate or asked.questions:
        fail("Name the documents that the questions are about.")
    elif _is_own(asked.corpus, asked.set_name):
        problem = own_set()
    else:
        problem = third_party(asked.set_name or "", asked.data)
    if asked.limit is not None and asked.limit < len(problem.asked):
        # Every n-th: questions of a set are ordered by document.
        step = len(problem.asked) / asked.limit
        chosen = tuple(problem.asked[int(number * step)] for number in range(asked.limit))
        problem = replace(problem, asked=chosen)
    return problem


async def _users(
    settings: Settings, asked: _Asked, corpus: Path, on_progress: OnProgress
) -> Problem:
    from localassist.evaluation.corpus import pose
    from localassist.evaluation.questions import read_questions
    from localassist.evaluation.reading import read_corpus

    if asked.questions is None and not asked.generate:
        fail("Name a file with questions, or have some made up with --generate 50.")
    if asked.questions is not None and asked.generate:
        fail("Name a file with questions or --generate, not both.")
    questions = [] if asked.questions is None else read_questions(asked.questions)
    if asked.generate and asked.save.exists():
        fail(f"{asked.save} already exists; name another file with --save, or use it instead.")
    documents, unreadable = await read_corpus(corpus, settings.retrieval, on_progress)
    if asked.generate:
        questions = await _generated(settings, documents, asked, on_progress)
    return pose(corpus.name or str(corpus), documents, questions, unreadable)


async def _generated(
    settings: Settings, documents: list[Document], asked: _Asked, on_progress: OnProgress
) -> list[Question]:
    from localassist.evaluation.generate import generate_for
    from localassist.evaluation.questions import write_questions

    questions = await generate_for(settings, documents, asked.generate, asked.seed, on_progress)
    if not questions:
        fail(
            "The model made up no question that has to do with the documents. Give it more of "
            "them, or make a larger model the default.",
            code=1,
        )
    write_questions(asked.save, questions)
    report(f"{len(questions)} questions were made up and saved in {asked.save}")
    return questions


async def _compare(
    settings: Settings, problem: Problem, variants: Any, options: Options, on_progress: OnProgress
) -> Comparison:
    from localassist.evaluation.compare import compare
    from localassist.evaluation.embedding import embedders_of

    return await compare(problem, variants, embedders_of(settings), options, on_progress)


@contextmanager
def _progress() -> Iterator[OnProgress]:
    """One bar, for whatever is being done."""
    with progress_bar() as bar:
        task = bar.add_task("", total=None)
        shown = ""

        def on_progress(what: str, done: int, total: int) -> None:
            nonlocal shown
            if what != shown:
                shown = what
                bar.reset(task, description=f"{what} …", total=total or None)
            bar.update(task, completed=done, total=total or None)

        yield on_progress


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}.", code=1)
    say(f"Written: {path}")
