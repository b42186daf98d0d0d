from __future__ import annotations

from pathlib import Path

import pytest

from localassist.errors import IndexUnavailable
from localassist.retrieval.indexes import MemoryIndex
from localassist.retrieval.store_index import StoreIndex
from tests.retrieval.made import DIMENSIONS, segment, vector_of

A, B = segment(["frog", "toad"]), segment(["newt", "moss", "fern"])


def test_a_file_is_there_after_the_commit_and_after_opening_again(tmp_path: Path) -> None:
    index = StoreIndex.open(tmp_path, DIMENSIONS)
    index.add("a", A)
    assert index.file_ids() == set()
    index.commit()
    index.add("b", B)
    index.remove("a")
    index.remove("never")
    index.commit()
    index.close()
    assert StoreIndex.open(tmp_path, DIMENSIONS).file_ids() == {"b"}


def test_adding_a_file_again_replaces_it(tmp_path: Path) -> None:
    index = StoreIndex.open(tmp_path, DIMENSIONS)
    index.add("a", B)
    index.add("a", A)
    index.commit()
    index.add("a", A)
    index.commit()
    assert index.lexical.units == {"a": 2}


def test_readers_see_what_a_writer_commits(tmp_path: Path) -> None:
    reader, writer = (StoreIndex.open(tmp_path, DIMENSIONS) for _ in range(2))
    writer.add("a", A)
    writer.commit()
    assert reader.file_ids() == {"a"}


def test_a_small_store_has_no_vector_index(tmp_path: Path) -> None:
    index = StoreIndex.open(tmp_path, DIMENSIONS)
    index.add("a", A)
    index.commit()
    assert not index.settle({"a": A})
    assert index.collected == frozenset()
    assert index.nearest(vector_of("frog"), 3) == []
    assert not (tmp_path / "vectors").exists()


def test_vectors_are_collected_once_a_store_is_large(tmp_path: Path) -> None:
    index = StoreIndex.open(
        tmp_path, DIMENSIONS, collect_from_units=2, open_collection=MemoryIndex.open
    )
    members = {"a": A, "c": B}
    index.add("a", A)
    index.commit()
    assert index.collected == frozenset()
    index.add("b", B)
    index.add("c", B)
    index.commit()
    assert index.collected == {"b", "c"}
    assert not index.settle(members)
    assert index.collected == {"a", "b", "c"}
    assert index.nearest(vector_of("frog"), 1) == [("a", 0)]
    index.remove("a")
    index.commit()
    assert index.collected == {"b", "c"}
    assert all(hit.file_id != "a" for hit in index.nearest(vector_of("frog"), 9))


def test_settling_goes_in_steps(tmp_path: Path) -> None:
    members = {name: A for name in "abcd"}
    small = StoreIndex.rebuild(tmp_path, DIMENSIONS, members)
    small.close()
    index = StoreIndex.open(
        tmp_path, DIMENSIONS, collect_from_units=0, open_collection=MemoryIndex.open
    )
    assert index.settle(members, most_units=3)
    assert index.collected == {"a", "b"}
    assert not index.settle(members, most_units=4)
    assert index.collected == set(members)


def test_a_damaged_index_is_made_anew(tmp_path: Path) -> None:
    index = StoreIndex.open(tmp_path, DIMENSIONS)
    index.add("old", A)
    index.commit()
    index.close()
    (tmp_path / "collected.json").write_text("[")
    with pytest.raises(IndexUnavailable, match="Rebuild the index"):
        StoreIndex.open(tmp_path, DIMENSIONS)
    (tmp_path / "lexical" / "meta.json").write_bytes(b"")
    with pytest.raises(IndexUnavailable):
        StoreIndex.open(tmp_path, DIMENSIONS)
    assert StoreIndex.rebuild(tmp_path, DIMENSIONS, {"b": B}).file_ids() == {"b"}
