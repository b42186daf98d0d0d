"""Search against a brute force twin, and what it does with stores, files and filters."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localassist.retrieval import candidates
from localassist.retrieval.indexes import ChromaIndex, MemoryIndex, OpenIndex
from localassist.retrieval.passages import UnitHit
from localassist.retrieval.search import Query, Source, search
from localassist.retrieval.segment import Segment
from localassist.retrieval.store_index import StoreIndex
from tests.retrieval.made import DIMENSIONS, segment, vector_of
from tests.retrieval.test_lexical import FILES, WORDS, bm25

ALL = 10_000


def query(text: str) -> Query:
    return Query(text, vector_of(text))


def store(folder: Path, members: dict[str, Segment], *, name: str = "s") -> Source:
    return Source(StoreIndex.rebuild(folder / name, DIMENSIONS, members), members)


def parts_of(hit: UnitHit) -> list[float]:
    parts = hit.parts
    return [
        parts.dense,
        parts.dense_near,
        parts.dense_wide,
        parts.lexical,
        parts.lexical_near,
        parts.lexical_wide,
    ]


def by_hand(members: dict[str, Segment], asked: Query) -> dict[tuple[str, int], list[float]]:
    """The six scores of every unit."""
    files = {name: [one.unit_text(i) for i in range(len(one))] for name, one in members.items()}
    words = asked.text.split()
    lexical = [bm25(files, reach, words) for reach in (0, 1, 4)]
    scores = {}
    for name, one in members.items():
        for unit in range(len(one)):
            cosines = []
            for reach in (0, 1, 4):
                mean = one.vectors[max(unit - reach, 0) : unit + reach + 1].mean(0)
                cosines.append(float(mean @ asked.vector / np.linalg.norm(mean)))
            key = (name, unit)
            scores[key] = [*cosines, *(field.get(key, 0.0) for field in lexical)]
    return scores


@settings(max_examples=20, deadline=None)
@given(files=FILES, words=st.lists(st.sampled_from([*WORDS, "stork"]), max_size=4))
def test_scores_and_ranks_are_those_of_the_twin(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, list[str]], words: list[str]
) -> None:
    members = {name: segment(units, language="xx") for name, units in files.items()}
    asked = query(" ".join(words))
    hits = search([store(tmp_path_factory.mktemp("s"), members)], [asked], limit=ALL)
    expected = by_hand(members, asked)
    assert {(hit.file_id, hit.unit) for hit in hits} == set(expected)
    columns = np.array(list(expected.values()))
    spread = columns.std(axis=0)
    z = (columns - columns.mean(axis=0)) / np.where(spread > 1e-9, spread, math.inf)
    fused = dict(zip(expected, z.sum(axis=1), strict=True))
    for hit in hits:
        key = (hit.file_id, hit.unit)
        assert parts_of(hit) == pytest.approx(expected[key], abs=1e-4)
        assert hit.fused == pytest.approx(fused[key], abs=0.01)
        assert members[hit.file_id].text[hit.start : hit.end] == files[hit.file_id][hit.unit]
    assert [hit.fused for hit in hits] == sorted((hit.fused for hit in hits), reverse=True)
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True) and all(0 <= score <= 1 for score in scores)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["f1", "f2", "f3", "f4"]),
        st.sampled_from(["add", "remove", "commit"]),
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=12),
    ),
    max_size=12,
)


@settings(max_examples=15, deadline=None)
@given(steps=STEPS)
def test_whatever_was_added_and_removed_the_members_are_found(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, list[str]]]
) -> None:
    index = StoreIndex.open(
        tmp_path_factory.mktemp("s"),
        DIMENSIONS,
        collect_from_units=10,
        open_collection=MemoryIndex.open,
    )
    members: dict[str, Segment] = {}
    for file_id, step, units in steps:
        if step == "add":
            members[file_id] = segment(units, language="xx")
            index.add(file_id, members[file_id])
        elif step == "remove":
            members.pop(file_id, None)
            index.remove(file_id)
        else:
            index.commit()
    index.commit()
    assert index.file_ids() == set(members)
    asked = query("frog")
    hits = search([Source(index, members)], [asked], limit=ALL)
    expected = by_hand(members, asked) if members else {}
    assert {(hit.file_id, hit.unit) for hit in hits} == set(expected)
    for hit in hits:
        wanted = expected[hit.file_id, hit.unit]
        found = parts_of(hit)
        assert found[:3] == pytest.approx(wanted[:3], abs=1e-4)
        # IDF counts removed units until they are merged away; who matches it does not touch.
        assert [score > 0 for score in found[3:]] == [score > 0 for score in wanted[3:]]


@pytest.mark.parametrize("open_collection", [ChromaIndex.open, MemoryIndex.open])
@pytest.mark.parametrize("collect_from_units", [0, ALL])
def test_a_large_store_finds_the_same(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    open_collection: OpenIndex,
    collect_from_units: int,
) -> None:
    members = {
        f"f{i}": segment([f"{word} {i} {unit}" for unit, word in enumerate(WORDS * (i + 1))])
        for i in range(4)
    }
    index = StoreIndex.rebuild(
        tmp_path,
        DIMENSIONS,
        members,
        collect_from_units=collect_from_units,
        open_collection=open_collection,
    )
    source = Source(index, members)
    asked = query("pond frog 3")

    def ask() -> list[list[UnitHit]]:
        return [search([source], [asked], limit=9, allowed=only) for only in (None, ["f1", "f3"])]

    exact = ask()
    monkeypatch.setattr(candidates, "EXACT_UNITS", 0)
    for found, wanted in zip(ask(), exact, strict=True):
        assert [(hit.file_id, hit.unit) for hit in found] == [
            (hit.file_id, hit.unit) for hit in wanted
        ]
        assert [hit.fused for hit in found] == pytest.approx([hit.fused for hit in wanted])
    index.close()


def test_only_allowed_files_and_only_members_are_found(tmp_path: Path) -> None:
    members = {name: segment(["frog pond", f"{name} toad"]) for name in "abc"}
    source = store(tmp_path, members)
    some = search([source], [query("frog")], limit=9, allowed=["a", "c", "stranger"])
    assert {hit.file_id for hit in some} == {"a", "c"}
    assert search([source], [query("frog")], limit=9, allowed=[]) == []
    del members["a"]
    left = search([Source(source.index, members)], [query("frog")], limit=9)
    assert {hit.file_id for hit in left} == {"b", "c"}


def test_a_store_that_is_removed_during_a_search_is_still_found(tmp_path: Path) -> None:
    source = store(tmp_path, {"a": segment(["frog pond", "toad"])})
    before = search([source], [query("frog")], limit=9)
    shutil.rmtree(tmp_path)
    assert search([source], [query("frog")], limit=9) == before


def test_nothing_asked_of_nothing(tmp_path: Path) -> None:
    assert search([], [query("frog")], limit=9) == []
    assert search([store(tmp_path, {})], [query("frog")], limit=9) == []
    source = store(tmp_path, {"a": segment(["frog"])}, name="t")
    assert search([source], [], limit=9) == []
    assert len(search([source], [query("")], limit=9)) == 1


def test_stores_are_one_pool_and_a_file_in_both_is_found_once(tmp_path: Path) -> None:
    shared = segment(["newt moss", "fern"])
    first = store(tmp_path, {"a": segment(["frog pond"] * 3), "both": shared}, name="1")
    second = store(tmp_path, {"b": segment(["toad", "frog frog pond"]), "both": shared}, name="2")
    hits = search([first, second], [query("frog toad")], limit=ALL)
    keys = [(hit.file_id, hit.unit) for hit in hits]
    assert len(keys) == len(set(keys)) == 7
    # What is rare in all of them together weighs the same in each.
    same = [hit.parts.lexical for hit in hits if hit.file_id == "a"]
    assert same[0] > 0 and same == [same[0]] * 3


def test_several_queries_find_what_each_of_them_finds(tmp_path: Path) -> None:
    source = store(tmp_path, {"a": segment([f"{word} tale" for word in WORDS * 3])})
    one, other = query("frog tale"), query("fern tale")
    tops = {search([source], [asked], limit=1)[0].unit for asked in (one, other)}
    both = search([source], [one, other], limit=ALL)
    assert {hit.unit for hit in both[:6]} >= tops
    assert len(both) == len({hit.unit for hit in both})


def test_equal_scores_are_in_order_of_file_and_unit(tmp_path: Path) -> None:
    source = store(tmp_path, {name: segment(["frog"]) for name in ("c", "a", "b")})
    hits = search([source], [query("frog")], limit=2)
    assert [hit.file_id for hit in hits] == ["a", "b"]


def test_beyond_the_best_few_nothing_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "CANDIDATES", 2)
    source = store(tmp_path, {"a": segment([f"{word} {i}" for i, word in enumerate(WORDS * 9)])})
    hits = search([source], [query("frog 0")], limit=ALL)
    assert 2 <= len(hits) <= 12
    assert (hits[0].file_id, hits[0].unit) == ("a", 0)
