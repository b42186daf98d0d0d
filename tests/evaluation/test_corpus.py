"""Excerpts found whatever their white space is, and questions that lose none silently."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.errors import ConfigError
from localassist.evaluation.corpus import Document, pose
from localassist.evaluation.excerpts import SpacelessText, compact
from localassist.evaluation.questions import Question, Reference
from localassist.evaluation.spans import Span
from localassist.retrieval.documents import ParsedDocument

MILL = Document("old/mill.md", ParsedDocument("The mill\nwas built  in 1704.\n\nIt burned down."))
INN = Document("inn.txt", ParsedDocument("The inn has 12 rooms. It burned down."))

TEXTS = st.text(st.sampled_from("ab \n\t é"), max_size=40)


@given(TEXTS, st.data())
def test_any_part_is_found_with_other_white_space(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    part = text[start:end]
    spaced = "".join(char + data.draw(st.sampled_from(["", " ", "\n\n"])) for char in part)
    place = SpacelessText(text).find(spaced)
    if not part.strip():
        assert place is None
    else:
        assert place is not None
        assert compact(text[place[0] : place[1]]) == compact(part)
        assert text[place[0]].strip() and text[place[1] - 1].strip()
        assert place[0] <= start + len(part) - len(part.lstrip())


def test_what_is_not_there_is_not_found() -> None:
    assert SpacelessText("one two").find("two one") is None
    assert SpacelessText("").find("a") is None


def asked(*references: Reference, documents: tuple[str, ...] = ()) -> Question:
    return Question("q", "?", references, documents)


def test_an_excerpt_is_found_across_line_breaks() -> None:
    (one,) = pose("t", [MILL, INN], [asked(Reference("mill was built in 1704."))]).asked
    assert one.references == (Span("old/mill.md", 4, 28),)
    assert one.relevant == {"old/mill.md"}


def test_the_named_document_is_searched_alone_and_by_its_short_name() -> None:
    (one,) = pose("t", [MILL, INN], [asked(Reference("burned", document="inn"))]).asked
    assert one.references[0].document == "inn.txt"


def test_offsets_count_where_they_hold_the_content() -> None:
    text = "room room"
    document = Document("d", ParsedDocument(text))
    right = Reference("room", 5, 9, "d")
    (one,) = pose("t", [document], [asked(right)]).asked
    assert one.references == (Span("d", 5, 9),)
    (two,) = pose("t", [document], [asked(Reference("room", 4, 8, "d"))]).asked
    assert two.references == (Span("d", 0, 4),)
    (bare,) = pose("t", [document], [asked(Reference(start=5, end=9, document="d"))]).asked
    assert bare.references == (Span("d", 5, 9),)


def test_what_was_not_found_is_kept_by_name_and_the_rest_is_asked() -> None:
    questions = [
        asked(Reference("burned down"), Reference("a ghost walks")),
        asked(documents=("barn.md",)),
        asked(documents=("mill",)),
        asked(Reference("anything", document="barn.md")),
        asked(Reference(start=0, end=10_000, document="inn.txt")),
    ]
    problem = pose("t", [MILL, INN], questions)
    assert len(problem.asked) == 2
    assert [missing.what for missing in problem.not_found] == [
        "“a ghost walks”",
        "the document barn.md",
        "“anything” in barn.md",
        "the place 0–10000 in inn.txt",
    ]


def test_a_short_name_of_two_documents_names_none() -> None:
    twins = [Document(f"{folder}/a.md", ParsedDocument("x")) for folder in "bc"]
    problem = pose("t", twins, [asked(documents=("a",)), asked(documents=("b/a",))])
    assert len(problem.asked) == 1 and len(problem.not_found) == 1


def test_nothing_to_ask_is_an_error_that_shows_the_first_reason() -> None:
    with pytest.raises(ConfigError, match="a ghost walks"):
        pose("t", [MILL], [asked(Reference("a ghost walks"))])
