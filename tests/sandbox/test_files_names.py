"""Names that people and code give to files."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.sandbox.names import MAX_NAME_BYTES, free_name, readable, safe_name


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("data.csv", "data.csv"),
        ("Umsätze 2024 (final).xlsx", "Umsätze 2024 (final).xlsx"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\table.csv", "table.csv"),
        ("..", "file"),
        ("", "file"),
        ("/", "file"),
        (".env", "env"),
        (" a \n b\x00.txt ", "a _ b_.txt"),
        ("abc\u202etxt.exe", "abc_txt.exe"),
        ("ä" * 300 + ".csv", "ä" * 98 + ".csv"),
        ("x." + "y" * 300, "x." + "y" * 198),
        (os.fsdecode(b"caf\xe9.txt"), "caf�.txt"),
        ("\ud800.txt", "�.txt"),
    ],
)
def test_a_name_is_made_safe(filename: str, name: str) -> None:
    assert safe_name(filename) == name


@given(st.text(st.characters(), max_size=400))
def test_any_text_gives_a_name_of_one_file(filename: str) -> None:
    name = safe_name(filename)
    assert name.encode("utf-8") and len(name.encode("utf-8")) <= MAX_NAME_BYTES
    assert "/" not in name and "\0" not in name and not name.startswith(".")
    assert safe_name(name) == name


@given(st.binary(max_size=50).filter(lambda name: b"\0" not in name))
def test_any_bytes_of_a_file_system_can_be_shown(name: bytes) -> None:
    readable(os.fsdecode(name)).encode("utf-8")


def test_equal_names_are_numbered() -> None:
    taken: dict[str, int] = {}
    for number in range(4):
        taken[free_name("a.tar.gz", taken)] = number
    assert list(taken) == ["a.tar.gz", "a.tar (2).gz", "a.tar (3).gz", "a.tar (4).gz"]
    assert free_name("file", {"file"}) == "file (2)"
