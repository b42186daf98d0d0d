"""Chunkings and grids: how they are written, and what they cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.errors import ConfigError
from localassist.evaluation.chunking import Chunking, fixed_windows
from localassist.evaluation.corpus import Document
from localassist.evaluation.variants import DEFAULT, Variant, grid
from localassist.retrieval.documents import ParsedDocument


@pytest.mark.parametrize("text", ["units", "units:64", "fixed:800/400", "fixed:9/0", "recursive:7"])
def test_a_chunking_is_written_as_it_is_read(text: str) -> None:
    assert str(Chunking.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "fixed", "fixed:4/4", "recursive:9/3", "units:0", "pages", "fixed:-1/0"]
)
def test_what_is_no_chunking_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="chunking"):
        Chunking.parse(text)


@given(st.integers(0, 60), st.integers(1, 20), st.data())
def test_fixed_windows_cover_every_token_and_share_the_overlap(
    tokens: int, size: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, size - 1))
    document = Document("d", ParsedDocument("ab" * tokens))
    starts = np.arange(0, 2 * tokens, 2, dtype=np.int32)
    windows = list(fixed_windows(document, starts, size, overlap))
    covered = {place for window in windows for place in range(window.start, window.end)}
    assert covered == set(range(2 * tokens))
    assert all(window.size == 2 * size for window in windows[:-1])
    for one, other in zip(windows, windows[1:], strict=False):
        assert one.end - other.start == 2 * overlap
        assert other.end > one.end


def test_a_grid_is_every_combination_in_order() -> None:
    found = grid(["chunking=units,fixed:800/400", "mode=hybrid,dense"])
    assert [str(variant) for variant in found] == [
        "units hybrid",
        "units dense",
        "fixed:800/400 hybrid",
        "fixed:800/400 dense",
    ]


def test_axes_may_be_given_in_parts() -> None:
    assert grid(["mode=dense", "mode=lexical"]) == grid(["mode=dense,lexical"])


def test_weights_that_change_nothing_are_not_measured_again() -> None:
    found = grid(["mode=dense,hybrid", "lexical=1,2", "chunking=units,fixed:9/0", "windows=0.5"])
    assert [str(variant) for variant in found] == [
        "units dense windows=0.5",
        "units hybrid windows=0.5",
        "units hybrid lexical=2 windows=0.5",
        "fixed:9/0 dense",
        "fixed:9/0 hybrid",
        "fixed:9/0 hybrid lexical=2",
    ]


def test_without_a_grid_there_is_a_comparison_with_what_is_usual() -> None:
    assert grid([]) == DEFAULT
    both = grid(["embedder=a,b"])
    assert len(both) == 2 * len(DEFAULT) and both[0] == Variant(
        Chunking("units", 100), "hybrid", "a"
    )


@pytest.mark.parametrize(
    "setting", ["mode", "mode=", "speed=1", "mode=fast", "lexical=-1", "windows=nan", "chunking=x"]
)
def test_what_is_no_axis_is_refused(setting: str) -> None:
    with pytest.raises(ConfigError):
        grid([setting])


def test_weights_are_those_of_the_scores_of_a_unit() -> None:
    units = Chunking("units", 100)
    assert Variant(units).weights == (1, 1, 1, 1, 1, 1)
    assert Variant(units, "lexical").weights == (0, 0, 0, 1, 1, 1)
    assert Variant(units, lexical_weight=2, window_weight=0.5).weights == (1, 0.5, 0.5, 2, 1, 1)
    assert Variant(Chunking("fixed", 800, 400), "dense").weights == (1, 0, 0, 0, 0, 0)
