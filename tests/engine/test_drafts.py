"""Prompt lookup against a naive search, and what it may cost."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from localassist.engine.drafts import NgramIndex, PromptLookup

few_tokens = st.lists(st.integers(0, 2), max_size=80)


def naive_find(tokens: list[int]) -> int | None:
    """The position after the last occurrence of the last four tokens that something follows."""
    tail = tokens[-4:]
    ends = (end for end in range(len(tokens) - 1, 3, -1) if tokens[end - 4 : end] == tail)
    return next(ends, None) if len(tokens) >= 4 else None


@given(start=few_tokens, growth=st.lists(few_tokens, max_size=5))
def test_the_index_equals_a_naive_search_however_the_tokens_grow(
    start: list[int], growth: list[list[int]]
) -> None:
    tokens = list(start)
    index = NgramIndex(tokens)
    for more in [[], *growth]:
        tokens += more
        assert index.find() == naive_find(tokens)


@given(tokens=few_tokens, data=st.data())
def test_match_lengths_count_back_from_both_ends(tokens: list[int], data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(tokens)))
    length = NgramIndex(tokens).match_length(position)
    assert tokens[position - length : position] == tokens[len(tokens) - length :]
    if length < min(position, 64):
        assert tokens[position - length - 1] != tokens[len(tokens) - length - 1]


@given(tokens=few_tokens, longest=st.integers(1, 20), room=st.integers(0, 30))
def test_a_draft_is_what_followed_an_earlier_occurrence(
    tokens: list[int], longest: int, room: int
) -> None:
    draft = PromptLookup(tokens, longest, is_adaptive=False).propose(room)
    assert len(draft) <= min(longest, room)
    if draft:
        position = naive_find(tokens)
        assert position is not None
        assert tokens[position - 5 : position] == tokens[-5:]
        whole = tokens + draft
        assert draft == whole[position : position + len(draft)]


def test_a_repetition_is_continued_beyond_its_end() -> None:
    tokens = [1, 2, 3] * 4
    assert PromptLookup(tokens, 16).propose(100) == [1, 2, 3, 1, 2]


def play(prompt: list[int], answer: Iterable[int], longest: int = 16) -> tuple[float, int, int]:
    """Let a lookup guess a known answer; returns the cost in steps of one row (a step with n
    guesses costs 1.5 + n / 2), the steps, and the drafted tokens."""
    tokens, rest = list(prompt), list(answer)
    lookup = PromptLookup(tokens, longest)
    cost, steps, drafted = 0.0, 0, 0
    draft: list[int] = []
    while rest:
        accepted = 0
        while accepted < min(len(draft), len(rest)) and draft[accepted] == rest[accepted]:
            accepted += 1
        cost += 1 if not draft else 1.5 + len(draft) / 2
        steps += 1
        drafted += len(draft)
        tokens += rest[: accepted + 1]
        del rest[: accepted + 1]
        if draft:
            lookup.record(len(draft), accepted)
        draft = lookup.propose(len(rest) - 1)
    return cost, steps, drafted


@given(
    prompt=st.lists(st.integers(0, 1), max_size=60),
    answer=st.lists(st.integers(0, 1), min_size=1, max_size=400),
)
def test_drafts_never_cost_more_than_their_account(prompt: list[int], answer: list[int]) -> None:
    cost, _, _ = play(prompt, answer)
    assert cost <= 1.05 * len(answer) + 3


def test_text_that_only_seems_to_repeat_itself_makes_drafts_rare() -> None:
    phrase = [1, 2, 3, 4, 5, 6]
    answer = [token for n in range(300) for token in (*phrase, 100 + n)]
    lookalikes = [token for n in range(50) for token in (*phrase, 1000 + n, 1001 + n)]
    cost, _, drafted = play(lookalikes, answer)
    assert 0 < drafted < len(answer) // 5
    assert cost <= 1.05 * len(answer) + 3


def test_text_without_repetition_costs_nothing() -> None:
    assert play(list(range(1000)), range(1000, 1500)) == (500, 500, 0)


def test_quotations_are_read_in_long_stretches() -> None:
    cost, steps, _ = play(list(range(500)), [*range(100, 400)])
    assert steps < 300 / 10
    assert cost < 300 / 1.6


def test_drafts_grow_with_what_they_rest_on_and_never_beyond_their_limit() -> None:
    text = list(range(100))
    tokens = [*text, *text[:5]]
    lookup = PromptLookup(tokens, 16)
    lengths = []
    while len(tokens) < 190:
        draft = lookup.propose(1000)
        lengths.append(len(draft))
        tokens += [*draft, draft[-1] + 1]
        lookup.record(len(draft), len(draft))
    assert lengths[:3] == [5, 9, 16]
    assert set(lengths[3:]) == {16}
    assert len(PromptLookup(tokens, 7, is_adaptive=False).propose(1000)) == 7
