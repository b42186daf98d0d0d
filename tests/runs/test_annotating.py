"""Citations and links of one answer, however it comes in pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from localassist.runs.annotating import AnnotatedText, Annotator
from localassist.tools.code_interpreter.links import LinkReader
from localassist.tools.file_search import CitationReader
from localassist.tools.file_search.results import number
from tests.runs.documents import HOURS, _passage

PATH = "sandbox:/mnt/data/my table.csv"
ANSWER = (
    f"It opens at nine 【1:0†source】; see [the table]({PATH}) or sandbox:/mnt/data/none.txt, and "
    f"once more <{PATH}>【1:0†source】, Grüße 𝔘."
)


@given(cuts=st.lists(st.integers(1, len(ANSWER) - 1), max_size=12))
def test_annotations_stand_where_they_say(cuts: list[int]) -> None:
    results = number([_passage("file-hours", HOURS, 0.9)], 1)
    annotator = Annotator(CitationReader(results), LinkReader({"my table.csv": "file-table"}))
    text = AnnotatedText(images=["file-image"])
    ends = sorted({0, *cuts, len(ANSWER)})
    said = [ANSWER[start:end] for start, end in zip(ends, ends[1:], strict=False)]
    pieces = [text.add(one) for part in said for one in annotator.feed(part)]
    pieces += [text.add(one) for one in annotator.finish()]
    shown = text.shown
    assert shown.text == "".join(piece.text for piece in pieces)
    kinds = [one["type"] for one in shown.annotations]
    assert kinds == ["file_citation", "file_path", "file_path", "file_citation"]
    for one in shown.annotations:
        assert shown.text[one["start_index"] : one["end_index"]] == one["text"]
    assert [piece.first for piece in pieces if piece.annotations] == [0, 1, 2, 3]
    assert [part["type"] for part in shown.content()] == ["image_file", "text"]


def test_without_readers_nothing_is_held_back() -> None:
    annotator = Annotator()
    assert not annotator.has_readers
    assert [piece.text for piece in annotator.feed("sandbox:/mnt")] == ["sandbox:/mnt"]
    assert annotator.finish() == []
