"""The metrics on cases worked out by hand, and what holds for all of them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.evaluation.metrics import (
    coverage,
    document_order,
    ndcg,
    reciprocal_rank,
    within_budget,
)
from localassist.evaluation.spans import Span, merged, shared, total

SPANS = st.builds(
    lambda document, start, size: Span(document, start, start + size),
    st.sampled_from("ab"),
    st.integers(0, 40),
    st.integers(1, 15),
)
LISTS = st.lists(SPANS, max_size=8)
REFERENCES = st.lists(SPANS, min_size=1, max_size=4)


def characters(spans: list[Span]) -> set[tuple[str, int]]:
    return {(span.document, place) for span in spans for place in range(span.start, span.end)}


@given(LISTS, LISTS)
def test_spans_are_sets_of_characters(these: list[Span], those: list[Span]) -> None:
    assert shared(these, those) == len(characters(these) & characters(those))
    assert total(merged(these)) == len(characters(these))
    assert merged(merged(these)) == merged(these)


def test_half_of_a_reference_found_by_a_result_twice_its_size() -> None:
    found = coverage([Span("a", 5, 25)], [Span("a", 0, 10)])
    assert (found.recall, found.precision, found.iou) == (0.5, 0.25, 5 / 25)


def test_what_two_results_share_is_found_once_and_paid_twice() -> None:
    found = coverage([Span("a", 0, 10), Span("a", 5, 15)], [Span("a", 0, 20)])
    assert (found.recall, found.precision, found.iou) == (15 / 20, 15 / 20, 15 / 25)


def test_the_same_place_of_another_document_is_not_found() -> None:
    found = coverage([Span("b", 0, 10)], [Span("a", 0, 10)])
    assert (found.recall, found.precision, found.iou) == (0, 0, 0)


def test_no_results_find_nothing() -> None:
    found = coverage([], [Span("a", 0, 10)])
    assert (found.recall, found.precision, found.iou) == (0, 0, 0)


@given(LISTS, REFERENCES)
def test_coverage_is_bounded(results: list[Span], references: list[Span]) -> None:
    found = coverage(results, references)
    assert 0 <= found.iou <= min(found.precision, 1) <= 1
    assert 0 <= found.recall <= 1


@given(LISTS, SPANS, REFERENCES)
def test_another_result_never_lowers_recall(
    results: list[Span], more: Span, references: list[Span]
) -> None:
    before, after = coverage(results, references), coverage([*results, more], references)
    assert after.recall >= before.recall


@given(LISTS, st.integers(0, 60), st.integers(0, 60))
def test_a_larger_budget_holds_what_a_smaller_one_did(
    results: list[Span], budget: int, more: int
) -> None:
    small = within_budget(results, lambda span: span.size, budget)
    large = within_budget(results, lambda span: span.size, budget + more)
    assert list(large[: len(small)]) == list(small)
    assert len(small) <= 1 or total(small) <= budget
    assert len(small) >= min(1, len(results))


def test_a_budget_ends_before_the_first_result_that_does_not_fit() -> None:
    results = [Span("a", 0, 4), Span("a", 10, 17), Span("a", 20, 21)]
    assert within_budget(results, lambda span: span.size, 10) == results[:1]
    assert within_budget(results, lambda span: span.size, 11) == results[:2]
    assert within_budget(results, lambda span: span.size, 1) == results[:1]


def test_ndcg_by_hand() -> None:
    ranked = ["x", "r", "y", "s"]
    ideal = 1 + 1 / math.log2(3)
    gain = 1 / math.log2(3) + 1 / math.log2(5)
    assert ndcg(ranked, {"r", "s"}) == pytest.approx(gain / ideal)
    assert ndcg(ranked, {"r", "s"}, cutoff=3) == pytest.approx(1 / math.log2(3) / ideal)
    assert ndcg(ranked, {"z"}) == 0 and ndcg(["r", "s"], {"r", "s"}) == 1


def test_the_ideal_has_no_more_ranks_than_the_cutoff() -> None:
    assert ndcg(["r", "s"], {"r", "s", "t"}, cutoff=2) == 1


@given(st.permutations("abcdefgh"), st.sets(st.sampled_from("abcdefgh"), min_size=1))
def test_ndcg_is_bounded_and_best_with_the_relevant_first(
    ranked: list[str], relevant: set[str]
) -> None:
    best = sorted(ranked, key=lambda document: document not in relevant)
    assert 0 <= ndcg(ranked, relevant, 5) <= ndcg(best, relevant, 5) == pytest.approx(1)


def test_the_reciprocal_rank_is_that_of_the_first_relevant_document() -> None:
    assert reciprocal_rank(["x", "r", "s"], {"s", "r"}) == 0.5
    assert reciprocal_rank(["x"], {"r"}) == 0


def test_documents_are_ordered_by_their_best_result() -> None:
    assert document_order([Span("b", 9, 10), Span("a", 0, 1), Span("b", 0, 1)]) == ["b", "a"]
