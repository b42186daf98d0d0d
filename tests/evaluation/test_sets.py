"""Sets of questions: the own one is whole, others' are read in their own form."""

import json
from pathlib import Path

import pytest

from localassist.errors import ConfigError
from localassist.evaluation.sets import own_set, third_party


def test_every_answer_of_the_own_set_is_in_its_documents() -> None:
    problem = own_set()
    assert not problem.not_found
    assert len(problem.documents) == 15 and len(problem.asked) >= 40
    assert len({asked.question.text for asked in problem.asked}) == len(problem.asked)
    assert {name for asked in problem.asked for name in asked.relevant} == {
        document.name for document in problem.documents
    }


def test_chunking(tmp_path: Path) -> None:
    (tmp_path / "corpora").mkdir()
    # Offsets count universal newlines.
    (tmp_path / "corpora" / "tales.md").write_bytes(b"One day\r\na fox\r\nran.")
    references = json.dumps([{"content": "a fox", "start_index": 8, "end_index": 13}])
    quoted = references.replace('"', '""')
    (tmp_path / "questions_df.csv").write_text(
        f'question,references,corpus_id\nWho ran?,"{quoted}",tales\n'
    )
    (one,) = third_party("chunking", tmp_path).asked
    (span,) = one.references
    assert (span.document, span.start, span.end) == ("tales", 8, 13)


def test_cranfield_counts_queries_and_leaves_grades_below_1_out(tmp_path: Path) -> None:
    (tmp_path / "cran.all.1400").write_text(
        ".I 1\n.T\nwings\n.A\nx\n.B\ny\n.W\nwings\nlift .\n.I 2\n.T\nheat\n.W\nheat flows .\n"
    )
    (tmp_path / "cran.qry").write_text(".I 001\n.W\nwhat lifts\n.I 004\n.W\nwhat\nflows\n")
    (tmp_path / "cranqrel").write_text("1 1 3 \n1 2 -1\n2 2 1\n")
    problem = third_party("cranfield", tmp_path)
    assert [document.text for document in problem.documents] == [
        "wings\nwings\nlift .",
        "heat\nheat flows .",
    ]
    assert [(one.question.text, set(one.relevant)) for one in problem.asked] == [
        ("what lifts", {"1"}),
        ("what flows", {"2"}),
    ]


def test_xquad(tmp_path: Path) -> None:
    asked = {"id": "q1", "question": "Who?", "answers": [{"text": "a fox", "answer_start": 4}]}
    article = {"title": "Tales", "paragraphs": [{"context": "See a fox.", "qas": [asked]}]}
    (tmp_path / "xquad.en.json").write_text(json.dumps({"data": [article]}))
    (one,) = third_party("xquad", tmp_path).asked
    assert one.references[0] == ("Tales/1", 4, 9)


@pytest.mark.parametrize("name", ["chunking", "cranfield", "xquad"])
def test_missing_data_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="--data"):
        third_party(name, None)
    with pytest.raises(ConfigError, match="which is not there"):
        third_party(name, tmp_path)


def test_an_unknown_set_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="`squad` is not a set; there are own, chunking"):
        third_party("squad", None)
