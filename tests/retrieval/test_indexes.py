"""What every index of vectors promises, and the exact scan against plain cosines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.errors import IndexUnavailable
from localassist.retrieval.indexes import INDEXES, ChromaIndex, VectorIndex
from localassist.retrieval.indexes.exact import ExactTable, cosines_of
from tests.retrieval.made import DIMENSIONS, segment, vector_of


def vectors(*texts: str) -> np.ndarray:
    return np.array([vector_of(text) for text in texts])


@pytest.fixture(params=sorted(INDEXES))
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorIndex]:
    opened = INDEXES[request.param](tmp_path / "vectors", DIMENSIONS)
    yield opened
    opened.close()


def test_the_nearest_come_first(index: VectorIndex) -> None:
    assert index.nearest(vector_of("frog"), 5) == []
    index.add("a", vectors("frog", "toad"))
    index.add("b", vectors("newt", "moss"))
    assert index.nearest(vector_of("newt"), 1) == [("b", 0)]
    assert {hit.file_id for hit in index.nearest(vector_of("newt"), 9, ["a"])} == {"a"}
    index.add("a", vectors("fern"))  # replaces both
    index.remove("b")
    index.remove("never")
    assert index.nearest(vector_of("newt"), 9) == [("a", 0)]


def test_a_collection_is_there_after_it_was_opened_again(tmp_path: Path) -> None:
    index = ChromaIndex.open(tmp_path / "vectors", DIMENSIONS)
    index.add("a", vectors(*(f"word {i}" for i in range(1500))))
    index.close()
    again = ChromaIndex.open(tmp_path / "vectors", DIMENSIONS)
    assert again.nearest(vector_of("word 1234"), 1) == [("a", 1234)]
    again.close()


def test_a_damaged_collection_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "vectors"
    folder.mkdir()
    (folder / "chroma.sqlite3").write_bytes(b"no database" * 1000)
    with pytest.raises(IndexUnavailable, match="vector index vectors"):
        ChromaIndex.open(folder, DIMENSIONS)


@given(st.lists(st.integers(0, 12), min_size=1, max_size=5), st.data())
def test_cosines_of_windows_are_those_of_their_mean_vectors(
    lengths: list[int], data: st.DataObject
) -> None:
    members = {
        f"f{i}": segment([f"word{i} {unit}" for unit in range(length)])
        for i, length in enumerate(lengths)
    }
    query = vector_of("question")
    table = ExactTable(members)
    found = table.cosines(query)
    expected = []
    for one in members.values():
        for unit in range(len(one)):
            row = []
            for reach in (0, 1, 4):
                mean = one.vectors[max(unit - reach, 0) : unit + reach + 1].mean(0)
                row.append(float(mean @ query / np.linalg.norm(mean)))
            expected.append(row)
    np.testing.assert_allclose(found, np.array(expected).reshape(-1, 3), atol=1e-5)
    row, some, rows = 0, [], []
    for one in members.values():
        if len(one):
            wanted = np.array(sorted(data.draw(st.sets(st.integers(0, len(one) - 1), min_size=1))))
            some.append((one, wanted))
            rows.extend(row + wanted)
        row += len(one)
    np.testing.assert_allclose(cosines_of(some, query), found[rows], atol=1e-6)
