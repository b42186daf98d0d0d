from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from localassist.retrieval.assemble import AUTO_TOKENS, Chunking, chunks, passages, tiles
from localassist.retrieval.documents import Place
from localassist.retrieval.passages import ScoreParts, UnitHit
from localassist.retrieval.segment import Segment
from tests.retrieval.made import segment

PARTS = ScoreParts(0, 0, 0, 0, 0, 0)
TOKENS = st.lists(st.integers(1, 100), min_size=1, max_size=40)


def hits_of(segments: dict[str, Segment], order: list[tuple[str, int]]) -> list[UnitHit]:
    """Hits in this order, best first."""
    found = []
    for rank, (file_id, unit) in enumerate(order):
        start, end = segments[file_id].units[unit, :2].tolist()
        found.append(UnitHit(file_id, unit, start, end, -float(rank), 1 / (rank + 1), PARTS))
    return found


def made(tokens: list[int]) -> Segment:
    return segment([f"u{i}" for i in range(len(tokens))], tokens=tokens)


@given(TOKENS, st.integers(100, 300), st.data())
def test_tiles_cover_a_file_within_size_and_overlap(
    tokens: list[int], size: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, size // 2))
    found = tiles(tokens, Chunking(size, overlap))
    assert found[0][0] == 0 and found[-1][1] == len(tokens)
    for lo, hi in found:
        assert lo < hi and sum(tokens[lo:hi]) <= size
    for (lo, hi), (next_lo, next_hi) in zip(found, found[1:], strict=False):
        assert lo < next_lo <= hi < next_hi
        assert sum(tokens[next_lo:hi]) <= overlap
        assert sum(tokens[lo:hi]) + tokens[hi] > size  # as large as it can be


def test_a_unit_larger_than_the_size_is_a_chunk() -> None:
    assert tiles([50, 400, 50], Chunking(100, 0)) == [(0, 1), (1, 2), (2, 3)]
    assert tiles([], Chunking(100, 0)) == []


def test_the_chunk_of_a_strategy_has_the_hit_in_its_middle() -> None:
    segments = {"f": made([50] * 8)}
    strategies = {"f": Chunking(200, 100)}  # units 0-3, 2-5, 4-7
    hits = hits_of(segments, [("f", 3), ("f", 4), ("f", 0)])
    found = chunks(hits, segments, {"f": "a.txt"}, strategies, 10)
    assert [passage.text for passage in found] == ["u2 u3 u4 u5", "u0 u1 u2 u3"]
    assert [hit.unit for hit in found[0].hits] == [3, 4]
    assert found[0].tokens == 200 and found[0].score == hits[0].score
    assert chunks(hits, segments, {"f": "a.txt"}, strategies, 1) == found[:1]


@given(TOKENS, st.data())
def test_automatic_chunks_are_apart_and_hold_every_hit(
    tokens: list[int], data: st.DataObject
) -> None:
    segments = {"f": made(tokens)}
    order = data.draw(st.permutations([("f", unit) for unit in range(len(tokens))]))
    hits = hits_of(segments, order[: data.draw(st.integers(1, len(order)))])
    found = chunks(hits, segments, {"f": "a.txt"}, {}, 100)
    seen = [hit.unit for passage in found for hit in passage.hits]
    assert sorted(seen) == sorted(hit.unit for hit in hits)
    assert found[0].hits[0] == hits[0]
    for limit in range(len(found)):
        assert chunks(hits, segments, {"f": "a.txt"}, {}, limit) == found[:limit]
    assert all(passage.tokens <= AUTO_TOKENS for passage in found)
    spans = sorted((passage.start, passage.end) for passage in found)
    assert all(end <= start for (_, end), (start, _) in zip(spans, spans[1:], strict=False))


def test_an_automatic_chunk_grows_to_the_better_side() -> None:
    segments = {"f": made([150] * 4)}
    hits = hits_of(segments, [("f", 2), ("f", 3), ("f", 1)])
    found = chunks(hits, segments, {"f": "a.txt"}, {}, 2)
    assert [passage.text for passage in found] == ["u2 u3", "u0 u1"]


def test_passages_fill_the_budget_in_rank_order_and_merge_neighbours() -> None:
    places = (Place(0, 6, page=1), Place(6, 100, page=2))
    segments = {
        "a": segment(["a0", "a1", "a2", "a3", "a4"], tokens=[40] * 5, places=places),
        "b": made([40, 40]),
    }
    names = {"a": "a.pdf", "b": "b.txt"}
    hits = hits_of(segments, [("a", 3), ("b", 0), ("a", 4), ("a", 0), ("b", 1)])
    found = passages(hits, segments, names, 160, 10)
    assert [(p.filename, p.text) for p in found] == [
        ("a.pdf", "a3 a4"),
        ("b.txt", "u0"),
        ("a.pdf", "a0"),
    ]
    assert [p.place for p in found] == ["page 2", "", "page 1"]
    assert found[0].text == segments["a"].text[found[0].start : found[0].end]
    assert sum(p.tokens for p in found) == 160
    assert [p.text for p in passages(hits, segments, names, 160, 2)] == ["a3 a4", "u0"]
    assert [p.text for p in passages(hits, segments, names, 1, 9)] == [
        "a3"
    ]  # the first in any case
    assert passages([], segments, names, 100, 3) == []


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9)), max_size=30), st.integers(1, 9)
)
def test_passages_keep_within_budget_and_limit(order: list[tuple[str, int]], limit: int) -> None:
    segments = {"a": made([30] * 10), "b": made([20] * 10)}
    hits = hits_of(segments, order)
    found = passages(hits, segments, {"a": "a", "b": "b"}, 200, limit)
    assert len(found) <= limit and sum(passage.tokens for passage in found) <= 200
    assert bool(found) == bool(hits)
    assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)


def test_hits_of_files_that_are_gone_are_left_out() -> None:
    segments = {"a": made([10])}
    hits = hits_of({"a": segments["a"], "gone": made([10])}, [("gone", 0), ("a", 0)])
    for found in (
        chunks(hits, segments, {"a": "a"}, {}, 5),
        passages(hits, segments, {"a": "a"}, 100, 5),
    ):
        assert [passage.file_id for passage in found] == ["a"]
