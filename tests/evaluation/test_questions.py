"""Questions as people write them down, and what is wrong with them said by line."""

import json
from pathlib import Path

import pytest

from localassist.errors import ConfigError
from localassist.evaluation.questions import Question, Reference, read_questions, write_questions


def table(tmp_path: Path, text: str, name: str = "q.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_with_texts_and_one_with_json(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "question,references,corpus_id\n"
        'Why?,"Because, they said.",a.md\n'
        'When?,"[{""content"": ""in May"", ""start_index"": 3, ""end_index"": 9}]",\n'
        'Who?,"[""she"", ""he""]",\n',
    )
    why, when, who = read_questions(path)
    assert why.references == (Reference("Because, they said.", document="a.md"),)
    assert when.references == (Reference("in May", 3, 9),)
    assert who.references == (Reference("she"), Reference("he"))
    assert [why.id, when.id, who.id] == ["1", "2", "3"]


def test_relevant_documents(tmp_path: Path) -> None:
    path = table(tmp_path, 'question,documents\nA?,a.md; b.md\nB?,"[""c;d.md""]"\n')
    assert [one.documents for one in read_questions(path)] == [("a.md", "b.md"), ("c;d.md",)]


def test_a_document_without_references_is_what_is_relevant(tmp_path: Path) -> None:
    path = table(tmp_path, "question,document\nA?,a.md\n")
    assert read_questions(path)[0].documents == ("a.md",)


def test_an_excerpt_may_begin_with_a_bracket(tmp_path: Path) -> None:
    path = table(tmp_path, "question,references\nA?,[sic] it was so\n")
    assert read_questions(path)[0].references == (Reference("[sic] it was so"),)


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_tables_of_spreadsheets(tmp_path: Path, delimiter: str) -> None:
    lines = ["question|references", "Why, and when?|Because, they said."]
    path = table(tmp_path, "\n".join(lines).replace("|", delimiter))
    assert read_questions(path) == [
        Question("1", "Why, and when?", (Reference("Because, they said."),))
    ]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    questions = [
        Question("1", "Why?", (Reference("a\u2028b\nc", 0, 5, "x.md"),), (), "a-model"),
        Question("2", "Who?", (), ("x.md", "y.md")),
    ]
    path = tmp_path / "q.jsonl"
    write_questions(path, questions)
    assert read_questions(path) == questions


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"references": ["a"]}, "`question`"),
        ({"question": "A?"}, "neither"),
        ({"question": "A?", "references": [{"start": 1}]}, "`content`, or"),
        ({"question": "A?", "references": [{"start": "x", "end": 2}]}, "numbers"),
        ({"question": "A?", "references": [3]}, "not 3"),
        ({"question": "A?", "references": '[{"content": '}, "not valid JSON"),
    ],
)
def test_mistakes_name_file_and_line(tmp_path: Path, row: object, said: str) -> None:
    path = table(tmp_path, "\n" + json.dumps(row) + "\n", "q.jsonl")
    with pytest.raises(ConfigError, match=said) as caught:
        read_questions(path)
    assert "q.jsonl, line 2" in caught.value.message


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("q.jsonl", "{", "line 1: not valid JSON"),
        ("q.jsonl", "[]", "expected an object"),
        ("q.csv", "question,references\n", "holds no questions"),
        ("q.csv", "ask,answer\nA?,b\n", "no column `question`, only ask, answer"),
    ],
)
def test_files_that_are_none(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_questions(table(tmp_path, text, name))


def test_a_missing_file_is_said() -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_questions(Path("nowhere.csv"))
