"""Beginnings that token sequences share."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from localassist.engine.radix_tree import common_prefix


@given(
    shared=st.integers(0, 700),
    a=st.lists(st.integers(0, 1)),
    b=st.lists(st.integers(0, 1)),
    start=st.integers(0, 9),
    cut=st.integers(0, 9),
)
def test_common_prefix_equals_the_naive_one(
    shared: int, a: list[int], b: list[int], start: int, cut: int
) -> None:
    a = list(range(shared)) + a
    b = [7] * start + list(range(shared)) + b
    end = len(b) - cut
    part = b[start : max(start, end)]
    naive = next((i for i, (x, y) in enumerate(zip(a, part, strict=False)) if x != y), None)
    expected = min(len(a), len(part)) if naive is None else naive
    assert max(0, common_prefix(a, b, start, end)) == expected
