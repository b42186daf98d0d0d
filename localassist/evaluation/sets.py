"""Known collections of documents and questions: a small one that comes along, and others' data,
read where it lies.

``chunking``    brandonstarxel/chunking_evaluation, general_evaluation_data: 5 corpora, 472
                questions with excerpts (research.trychroma.com/evaluating-chunking)
``cranfield``   1,400 titles with abstracts, 225 questions with relevant documents, those of grade
                above 0: the files ``cran.all.1400``, ``cran.qry`` and ``cranqrel``
``xquad``       google-deepmind/xquad, ``xquad.en.json``: 240 paragraphs as documents, 1,190
                questions with the paragraph that answers them and the answer in it
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from localassist.errors import ConfigError
from localassist.evaluation.corpus import Document, Problem, pose
from localassist.evaluation.questions import Question, Reference, read_questions
from localassist.retrieval.documents import ParsedDocument

OWN_SET = Path(__file__).parent / "own_set"


def own_set() -> Problem:
    """The set that comes with localassist: short texts about a made-up town and its devices."""
    documents = [_document(path.name, path) for path in sorted(OWN_SET.glob("*.md"))]
    return pose("own set", documents, read_questions(OWN_SET / "questions.jsonl"))


def chunking(folder: Path) -> Problem:
    questions = folder / "questions_df.csv"
    corpora = sorted((folder / "corpora").glob("*.md"))
    _need(folder, "chunking", [questions, *(corpora or [folder / "corpora" / "chatlogs.md"])])
    documents = [_document(path.stem, path) for path in corpora]
    return pose("chunking evaluation", documents, read_questions(questions))


def cranfield(folder: Path) -> Problem:
    paths = [folder / name for name in ("cran.all.1400", "cran.qry", "cranqrel")]
    _need(folder, "cranfield", paths)
    abstracts, queries, judgements = paths
    documents = [
        Document(number, ParsedDocument(f"{fields['T']}\n{fields['W']}", language="en"))
        for number, fields in _records(abstracts.read_text("utf-8", "replace"))
    ]
    relevant: dict[int, list[str]] = {}
    for line in judgements.read_text("ascii").splitlines():
        query, document, grade = line.split()
        if int(grade) > 0:
            relevant.setdefault(int(query), []).append(document)
    # Judgements count the queries from 1; their own numbers have gaps.
    texts = [fields["W"] for _, fields in _records(queries.read_text("ascii"))]
    questions = [
        Question(str(number), " ".join(text.split()), documents=tuple(relevant[number]))
        for number, text in enumerate(texts, start=1)
        if number in relevant
    ]
    return pose("Cranfield", documents, questions)


def xquad(path: Path) -> Problem:
    file = path / "xquad.en.json" if path.is_dir() else path
    _need(path, "xquad", [file])
    documents, questions = [], []
    for article in json.loads(file.read_text("utf-8"))["data"]:
        for number, paragraph in enumerate(article["paragraphs"], start=1):
            name = f"{article['title']}/{number}"
            documents.append(Document(name, ParsedDocument(paragraph["context"], language="en")))
            for asked in paragraph["qas"]:
                answer = asked["answers"][0]
                start = answer["answer_start"]
                reference = Reference(answer["text"], start, start + len(answer["text"]), name)
                questions.append(Question(asked["id"], asked["question"], (reference,)))
    return pose("XQuAD (English)", documents, questions)


THIRD_PARTY: dict[str, Callable[[Path], Problem]] = {
    "chunking": chunking,
    "cranfield": cranfield,
    "xquad": xquad,
}


def third_party(name: str, data: Path | None) -> Problem:
    """A set by its name, from where its data lies. Raises ConfigError saying what is missing."""
    if name not in THIRD_PARTY:
        raise ConfigError(f"`{name}` is not a set; there are own, {', '.join(THIRD_PARTY)}.")
    if data is None:
        raise ConfigError(
            f"The data of the set {name} does not come with localassist: name its folder with "
            "--data. Where to get it is in the documentation, page evaluation."
        )
    return THIRD_PARTY[name](data)


def _document(name: str, path: Path) -> Document:
    # Offsets of others' references count universal newlines, which is how Python reads text.
    return Document(name, ParsedDocument(path.read_text("utf-8"), language="en"))


def _need(folder: Path, name: str, paths: list[Path]) -> None:
    for path in paths:
        if not path.is_file():
            raise ConfigError(f"The set {name} needs {path}, which is not there.")


def _records(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Number and fields of records in SMART's form: ``.I 1``, then ``.T``, ``.W``, … with text."""
    for record in re.split(r"^\.I ", text, flags=re.MULTILINE)[1:]:
        number, _, rest = record.partition("\n")
        parts = re.split(r"^\.([A-Z])[ \t]*\n", rest, flags=re.MULTILINE)
        yield number.strip(), dict(zip(parts[1::2], map(str.strip, parts[2::2]), strict=True))
