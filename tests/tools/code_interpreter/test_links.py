from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.tools.code_interpreter.links import Linked, LinkReader, link_to

FILES = {
    "a.csv": "file-a",
    "a.csv.gz": "file-gz",
    "my report (2).pdf": "file-r",
    "grün/größe.txt": "file-g",
    "100%.txt": "file-p",
}


def read(text: str, cuts: list[int]) -> list[Linked]:
    reader = LinkReader(FILES)
    places = sorted({cut % (len(text) + 1) for cut in cuts} | {0, len(text)})
    pieces = [reader.feed(text[a:b]) for a, b in zip(places, places[1:], strict=False)]
    return [*(linked for piece in pieces for linked in piece), *reader.finish()]


def found(pieces: list[Linked]) -> list[tuple[str, str]]:
    return [(link.text, link.file_id) for piece in pieces for link in piece.links]


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("See [it](sandbox:/mnt/data/a.csv).", [("sandbox:/mnt/data/a.csv", "file-a")]),
        ("sandbox:/mnt/data/a.csv", [("sandbox:/mnt/data/a.csv", "file-a")]),
        ("It is sandbox:/mnt/data/a.csv. Good.", [("sandbox:/mnt/data/a.csv", "file-a")]),
        ("sandbox:/mnt/data/a.csv.gz", [("sandbox:/mnt/data/a.csv.gz", "file-gz")]),
        ("sandbox:/mnt/data/a.csv.bak", []),
        ("**sandbox:/mnt/data/a.csv**", [("sandbox:/mnt/data/a.csv", "file-a")]),
        ("sandbox:/mnt/data/a.csv。", [("sandbox:/mnt/data/a.csv", "file-a")]),
        (
            "[r](<sandbox:/mnt/data/my report (2).pdf>)",
            [("sandbox:/mnt/data/my report (2).pdf", "file-r")],
        ),
        (
            "[r](sandbox:/mnt/data/my%20report%20(2).pdf)",
            [("sandbox:/mnt/data/my%20report%20(2).pdf", "file-r")],
        ),
        (
            "[g](sandbox:/mnt/data/gr%C3%BCn/größe.txt)",
            [("sandbox:/mnt/data/gr%C3%BCn/größe.txt", "file-g")],
        ),
        ("[p](sandbox:/mnt/data/100%.txt)", [("sandbox:/mnt/data/100%.txt", "file-p")]),
        ("[x](sandbox:/mnt/data/other.csv) and sandbox:/etc/passwd", []),
        ("sandbox:/mnt/data/../data/a.csv", []),
        (
            "sandbox:/mnt/data/a.csv sandbox:/mnt/data/a.csv",
            [("sandbox:/mnt/data/a.csv", "file-a")] * 2,
        ),
    ],
)
@given(cuts=st.lists(st.integers(0, 200)))
def test_links_wherever_the_text_is_cut(
    text: str, links: list[tuple[str, str]], cuts: list[int]
) -> None:
    pieces = read(text, cuts)
    assert "".join(piece.text for piece in pieces) == text
    assert found(pieces) == links
    for piece in pieces:
        assert all(piece.text[link.start : link.end] == link.text for link in piece.links)


@given(
    st.lists(st.sampled_from(["sandbox:", "/mnt/data/", "a.csv", ".", "g", "%", " ", "my "])),
    st.lists(st.integers(0, 200)),
)
def test_no_text_is_lost(parts: list[str], cuts: list[int]) -> None:
    text = "".join(parts)
    assert "".join(piece.text for piece in read(text, cuts)) == text
    assert found(read(text, cuts)) == found(read(text, []))


@pytest.mark.parametrize("path", FILES)
def test_links_that_are_written_are_found(path: str) -> None:
    assert [file_id for _, file_id in found(read(f"Here: {link_to(path)}, as wanted", []))] == [
        FILES[path]
    ]


def test_ordinary_text_is_not_held_back() -> None:
    reader = LinkReader(FILES)
    assert [piece.text for piece in reader.feed("Hello sand")] == ["Hello "]
    assert [piece.text for piece in reader.feed("y beach")] == ["sandy beach"]
    reader.feed("sandbox:/mnt/data/a")
    assert [piece.text for piece in reader.feed("b")] == ["sandbox:/mnt/data/", "ab"]


def test_files_may_come_while_the_answer_is_written() -> None:
    files: dict[str, str] = {}
    reader = LinkReader(files)
    files["new.png"] = "file-n"
    assert found(reader.feed("(sandbox:/mnt/data/new.png) is it")) == [
        ("sandbox:/mnt/data/new.png", "file-n")
    ]
