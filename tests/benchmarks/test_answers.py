"""What is counted of answers from documents."""

from __future__ import annotations

from benchmarks.retrieval.answers import OWN_SET, Answer, Item, load, row_of, spread_out


def test_every_span_of_the_own_set_stands_in_its_paragraph() -> None:
    paragraphs, items = load(OWN_SET)
    asked = [item for item in items if item.wanted]
    assert (len(paragraphs), len(asked), len(items) - len(asked)) == (10, 40, 8)
    assert all(span in paragraphs[item.file] for item in asked for span in item.wanted)


def test_questions_come_from_all_parts() -> None:
    items = [Item(str(at), (), 0) for at in range(10)]
    assert [item.question for item in spread_out(items, 3)] == ["0", "3", "6"]
    assert spread_out(items, 50) == items


def test_shares() -> None:
    item, absent = Item("Who?", ("Ada", "Breuer"), 1), Item("Why?", (), -1)
    answers = [
        Answer(item, "“Ada came.”【0:0†source】", [1], 1, 1, 0.5),
        Answer(item, "“Bo came.”【0:0†source】", [2], 0, 1, 1.5),
        Answer(item, "Breuer, I think.", [], 0, 0, 1.0),
        Answer(absent, "Nothing.", [], 0, 0, 9.0),
        Answer(absent, "“Ada”【0:0†source】", [1], 1, 1, 9.0),
    ]
    row = row_of("first", answers)
    assert (row["questions"], round(row["holds the answer %"])) == (3, 67)
    assert (row["quotations"], row["verbatim %"]) == (2, 50)
    assert round(row["right document cited %"]) == 33
    assert (row["seconds, median"], row["nothing cited where nothing is %"]) == (1.0, 50)
