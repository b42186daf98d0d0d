"""Remembered answers: bounded, computed once, errors not kept."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from localassist.memo import Memo


def test_the_least_recently_used_go_first() -> None:
    memo: Memo[str, str] = Memo(most=2, most_bytes=100)
    for key in ("a", "b", "a", "c"):
        memo.get(key, 1, lambda key=key: key.upper())
    assert memo.get("a", 1, lambda: "anew") == "A"
    assert memo.get("b", 1, lambda: "anew") == "anew"


def test_sizes_count() -> None:
    memo: Memo[str, int] = Memo(most=10, most_bytes=10)
    for key in "abc":
        memo.get(key, 6, lambda: 1)
    assert len(memo) == 1
    assert memo.get("huge", 11, lambda: 2) == 2
    assert len(memo) == 0


def test_many_who_ask_at_once_share_one_answer() -> None:
    memo: Memo[str, int] = Memo(most=2, most_bytes=10)
    may_end = threading.Event()
    asked: list[int] = []

    def compute() -> int:
        asked.append(1)
        assert may_end.wait(30)
        return 7

    with ThreadPoolExecutor(4) as threads:
        answers = [threads.submit(memo.get, "a", 1, compute) for _ in range(4)]
        may_end.set()
    assert [answer.result() for answer in answers] == [7] * 4
    assert len(asked) == 1


def test_an_error_is_not_kept() -> None:
    memo: Memo[str, int] = Memo(most=2, most_bytes=10)

    def fail() -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        memo.get("a", 1, fail)
    assert memo.get("a", 1, lambda: 1) == 1


def test_closing_waits_for_what_is_being_computed() -> None:
    memo: Memo[str, int] = Memo(most=2, most_bytes=10)
    has_begun, may_end = threading.Event(), threading.Event()

    def compute() -> int:
        has_begun.set()
        assert may_end.wait(30)
        return 7

    with ThreadPoolExecutor(2) as threads:
        answer = threads.submit(memo.get, "a", 1, compute)
        assert has_begun.wait(30)
        closed = threads.submit(memo.close, ValueError("closed"))
        assert not closed.done()
        may_end.set()
        closed.result(30)
        assert answer.result(30) == 7
    assert len(memo) == 0
    with pytest.raises(ValueError, match="closed"):
        memo.get("a", 1, lambda: 1)
