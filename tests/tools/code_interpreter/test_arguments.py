from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.tools.code_interpreter.arguments import CodeReader

_TEXTS = st.text(
    st.one_of(st.characters(), st.sampled_from('"\\\n\t\b/u\ud83d\ude00{}😀')), max_size=30
)


def read(text: str, cuts: list[int]) -> str:
    reader = CodeReader()
    places = sorted({cut % (len(text) + 1) for cut in cuts} | {0, len(text)})
    return "".join(reader.feed(text[a:b]) for a, b in zip(places, places[1:], strict=False))


def sendable(code: str) -> str:
    """As UTF-16 has it: pairs joined, lone surrogates replaced."""
    units = code.encode("utf-16-be", "surrogatepass")
    return re.sub("[\ud800-\udfff]", "\ufffd", units.decode("utf-16-be", "surrogatepass"))


@given(_TEXTS, st.lists(st.integers(0, 500)), st.booleans())
def test_reads_what_json_reads(code: str, cuts: list[int], is_ascii: bool) -> None:
    arguments = json.dumps({"code": code}, ensure_ascii=is_ascii)
    assert sendable(read(arguments, cuts)) == sendable(json.loads(arguments)["code"])


@given(_TEXTS)
def test_never_takes_back_what_it_has_told(code: str) -> None:
    arguments = json.dumps({"code": code})
    whole = read(arguments, [])
    assert read(arguments, list(range(len(arguments)))) == whole
    for end in range(len(arguments)):
        assert whole.startswith(read(arguments[:end], []))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ('{ "code" :\n"x = 1"}', "x = 1"),
        ('{"code": "a\\/b \\u00e4 \\ud83d\\ude00"}', "a/b ä 😀"),
        ('{"code": "\\ud83d!"}', "\ufffd!"),
        ('{"code": "a\\qb"}', "a"),
        ('{"code": "a", "more": "b"}', "a"),
        ('{"other": "a"}', ""),
        ("print(1)", ""),
    ],
)
def test_forms(arguments: str, code: str) -> None:
    assert read(arguments, []) == code


def test_the_end_is_told() -> None:
    reader = CodeReader()
    reader.feed('{"code": "a')
    assert not reader.is_closed
    reader.feed('"')
    assert reader.is_closed
