from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.retrieval.filters import matches

ATTRIBUTES = {"year": 2021, "price": 1.5, "tag": "b", "public": True}


@pytest.mark.parametrize(
    ("kind", "key", "value", "expected"),
    [
        ("eq", "year", 2021.0, True),
        ("eq", "year", "2021", False),
        ("ne", "year", "2021", True),
        ("eq", "public", 1, False),
        ("eq", "public", True, True),
        ("gt", "year", 2020, True),
        ("gt", "year", 2021, False),
        ("gte", "year", 2021, True),
        ("lt", "price", 2, True),
        ("lte", "price", 1, False),
        ("gt", "tag", "a", True),
        ("gt", "tag", 1, False),
        ("gte", "public", False, False),
        ("lt", "missing", 1, False),
        ("eq", "missing", None, False),
        ("ne", "missing", 1, True),
        ("in", "tag", ["a", "b"], True),
        ("in", "year", ["2021", True], False),
        ("in", "missing", ["a"], False),
        ("nin", "tag", ["a", "b"], False),
        ("nin", "missing", ["a"], True),
        ("in", "tag", [], False),
    ],
)
def test_comparisons(kind: str, key: str, value: Any, expected: bool) -> None:
    assert matches({"type": kind, "key": key, "value": value}, ATTRIBUTES) is expected


VALUES = st.one_of(st.booleans(), st.integers(-3, 3), st.sampled_from(["", "a", "b"]))


@given(st.dictionaries(st.sampled_from("xy"), VALUES), st.sampled_from("xyz"), VALUES)
def test_opposites_are_opposites(attributes: dict[str, Any], key: str, value: Any) -> None:
    def ask(kind: str, wanted: Any = value) -> bool:
        return matches({"type": kind, "key": key, "value": wanted}, attributes)

    assert ask("eq") is not ask("ne")
    assert ask("in", [value]) is ask("eq") is not ask("nin", [value])
    assert not (ask("lt") and ask("gte"))
    if ask("lt") or ask("gt"):
        assert not ask("eq")


def test_compounds_nest() -> None:
    new = {"type": "gte", "key": "year", "value": 2020}
    other = {"type": "eq", "key": "tag", "value": "z"}
    assert matches({"type": "or", "filters": [other, new]}, ATTRIBUTES)
    assert not matches({"type": "and", "filters": [other, new]}, ATTRIBUTES)
    nested = {"type": "and", "filters": [new, {"type": "or", "filters": [other, new]}]}
    assert matches(nested, ATTRIBUTES)
    assert not matches(nested, {})


def test_a_type_that_there_is_not_is_an_error() -> None:
    with pytest.raises(ValueError, match="like"):
        matches({"type": "like", "key": "tag", "value": "b"}, ATTRIBUTES)
