from __future__ import annotations

import asyncio
import io
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.errors import IndexUnavailable
from localassist.retrieval import segment_files, segments
from localassist.retrieval.documents import ParsedDocument, Place
from localassist.retrieval.embedders import HashingEmbedder
from localassist.retrieval.segment_builder import build_segment
from localassist.retrieval.segments import Segment, SegmentStore, segment_key, window_norms

TEXT = "Prices rise. " * 300 + "\n\nÜber 東京 👍🏽 — they fall! " * 80 + "\n\nThe end."
PLACES = (
    Place(0, 1000, page=1),
    Place(1000, 3900, page=2),
    Place(3950, len(TEXT), page=3, heading="A › B"),
)


@pytest.fixture
def store(tmp_path: Path) -> SegmentStore:
    return SegmentStore(tmp_path / "segments")


async def built(name: str = "a.txt", text: str = TEXT) -> Segment:
    key = segment_key("0" * 64, name, "hashing")
    document = ParsedDocument(text, PLACES if text == TEXT else (), "en")
    return await build_segment(key, document, HashingEmbedder(), embedder_id="hashing")


def fresh(store: SegmentStore) -> SegmentStore:
    """The same folder, with nothing held open."""
    return SegmentStore(store._root)


def folder_of(store: SegmentStore, key: str) -> Path:
    return store._root / key[:2] / key


async def test_a_segment_reads_back_as_it_was_built(store: SegmentStore) -> None:
    segment = await built()
    assert store.get(segment.key) is None
    store.put(segment)
    for found in (store.get(segment.key), fresh(store).get(segment.key)):
        assert found is not None
        assert (found.text, found.places, found.language) == (TEXT, PLACES, "en")
        assert found.embedder_id == "hashing" and len(found) == len(segment) > 10
        for name in ("units", "vectors", "norms"):
            ours, theirs = getattr(segment, name), getattr(found, name)
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)
        for unit in range(len(segment)):
            start, end, _ = segment.units[unit]
            assert found.unit_text(unit) == segment.unit_text(unit) == TEXT[start:end]
    assert list(store.keys()) == [segment.key]


@given(st.integers(-5, 6000), st.integers(-5, 6000))
def test_any_stretch_can_be_read(start: int, end: int) -> None:
    marks, raw = segment_files._encoded(TEXT)
    stored = Segment("k", _Memory(marks, raw), (), "", "", *([np.zeros((0, 3))] * 3))
    assert stored.slice(start, end) == TEXT[max(0, start) : max(0, end)]
    assert stored.text == TEXT


class _Memory(segment_files.StoredText):
    """Stored text whose file is in memory."""

    def __init__(self, marks: Any, raw: bytes) -> None:
        super().__init__(_Bytes(raw), marks, len(TEXT))  # type: ignore[arg-type]


class _Bytes:
    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def open(self, mode: str) -> Any:
        return io.BytesIO(self._raw)


async def test_places_and_windows() -> None:
    segment = await built()
    assert [segment.place_of(at) for at in (0, 999, 1000, 3900, 3949, 3950)] == [
        *("page 1", "page 1", "page 2", "", "", "page 3"),
    ]
    last = len(segment) - 1
    assert segment.window(0, 1) == (0, 2)
    assert segment.window(last, 4) == (last - 4, last + 1)
    assert segment.window_text(last, 1).endswith("The end.")
    assert segment.window_text(last, 1).startswith(segment.unit_text(last - 1))


@given(st.integers(0, 40), st.integers(1, 9))
def test_norms_are_those_of_the_windows_sums(count: int, block: int) -> None:
    vectors = np.random.default_rng(count).normal(size=(count, 3)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("localassist.retrieval.segment._BLOCK", block)
        norms = window_norms(vectors)
    assert norms.shape == (count, 2) and norms.dtype == np.float32
    for unit in range(count):
        for column, reach in enumerate((1, 4)):
            window = vectors[max(0, unit - reach) : unit + reach + 1]
            expected = np.linalg.norm(window.astype(float).sum(axis=0))
            assert norms[unit, column] == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("text", ["", " \n ", "\ud800 lone"])
async def test_texts_with_next_to_nothing_in_them(store: SegmentStore, text: str) -> None:
    segment = await built(text=text)
    store.put(segment)
    found = fresh(store).get(segment.key)
    assert found is not None and found.text == text
    assert found.vectors.shape == (len(found), 64) and len(found) == (text.strip() != "")


def test_keys_differ_with_what_the_content_follows_from() -> None:
    key = segment_key("ab", "Report.PDF", "minilm")
    assert key == segment_key("ab", "other.pdf", "minilm") and len(key) == 64
    others = [("ac", "a.pdf", "minilm"), ("ab", "a.txt", "minilm"), ("ab", "a.pdf", "other")]
    assert len({key, *(segment_key(*other) for other in others)}) == 4


async def test_stopping_a_build_stops_the_work() -> None:
    class Stopped(Exception):
        pass

    seen: list[tuple[int, int]] = []

    def on_progress(done: int, units: int) -> None:
        seen.append((done, units))
        if done:
            raise Stopped

    document = ParsedDocument("A sentence of its own. " * 20_000)
    with pytest.raises(Stopped):
        await build_segment(
            "k", document, HashingEmbedder(), embedder_id="h", on_progress=on_progress
        )
    (_, units), (done, _) = seen
    assert 0 < done < units
    task = asyncio.create_task(build_segment("k", document, HashingEmbedder(), embedder_id="h"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class Killed(BaseException):
    pass


async def test_a_writer_killed_at_any_step_leaves_no_segment(
    store: SegmentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = await built()
    steps = limit = 0
    originals = {"fsync": os.fsync, "rename": Path.rename}

    def step(name: str, *args: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == limit:
            raise Killed
        return originals[name](*args)

    # A killed process does not tidy up either.
    monkeypatch.setattr(segments.shutil, "rmtree", lambda *args, **kwargs: None)
    monkeypatch.setattr(os, "fsync", lambda fd: step("fsync", fd))
    monkeypatch.setattr(Path, "rename", lambda self, to: step("rename", self, to))
    for kill_at in range(1, 9):
        steps, limit = 0, kill_at
        with pytest.raises(Killed):
            store.put(segment)
        assert fresh(store).get(segment.key) is None
        assert list(store.keys()) == []
    limit = 0
    assert store.put(segment).text == TEXT
    monkeypatch.undo()
    assert store.sweep(lambda key: True, min_age_seconds=-10) == 0
    assert [path.name for path in store._root.iterdir()] == [segment.key[:2]]


@pytest.mark.parametrize(
    "name", ["meta.json", "text.txt", "marks.npy", "units.npy", "vectors.npy", "norms.npy"]
)
@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "empty"])
async def test_a_damaged_segment_counts_as_none_and_is_made_anew(
    store: SegmentStore, name: str, damage: str
) -> None:
    segment = await built()
    store.put(segment)
    path = folder_of(store, segment.key) / name
    raw = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    elif damage == "flip":
        raw[len(raw) // 2] ^= 0x40
        path.write_bytes(raw)
    else:
        path.write_bytes(raw[: len(raw) // 2] if damage == "cut" else b"")
    reader = fresh(store)
    assert reader.get(segment.key) is None
    assert not folder_of(store, segment.key).exists()
    assert reader.put(segment).text == TEXT


async def test_large_segments_stay_on_disk(
    store: SegmentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_files, "_MAPPED_FROM_BYTES", 1)
    found = store.put(await built())
    assert isinstance(found.vectors, np.memmap)
    np.testing.assert_array_equal(found.vectors, (await built()).vectors)


async def test_the_least_recently_used_is_let_go(store: SegmentStore) -> None:
    made = [await built(f"a.{n}") for n in range(4)]
    small = SegmentStore(store._root, held_bytes=2 * made[0].held_bytes)
    first, second, third = (small.put(segment) for segment in made[:3])
    assert small.get(made[2].key) is third and small.get(made[1].key) is second
    small.put(made[3])
    assert small.get(made[1].key) is second  # used after the third
    assert small.get(made[0].key) is not first


async def test_another_writers_segment_stays(store: SegmentStore) -> None:
    segment = await built()
    other = SegmentStore(store._root)
    results = await asyncio.gather(
        *(asyncio.to_thread(each.put, segment) for each in (store, other, store, other))
    )
    assert {result.text for result in results} == {TEXT}
    assert [path.name for path in store._root.iterdir()] == [segment.key[:2]]


async def test_sweeping_takes_what_is_old_and_unused(store: SegmentStore) -> None:
    used, unused, young = [await built(f"a.{n}") for n in range(3)]
    for segment in (used, unused, young):
        store.put(segment)
    (store._root / ".new-left").mkdir()
    hour_ago = time.time() - 3600
    for path in (
        folder_of(store, used.key),
        folder_of(store, unused.key),
        store._root / ".new-left",
    ):
        os.utime(path, (hour_ago, hour_ago))
    assert store.sweep(lambda key: key == used.key, min_age_seconds=600) == 1
    assert set(store.keys()) == {used.key, young.key}
    assert not (store._root / ".new-left").exists()
    assert store.get(unused.key) is None
    os.utime(folder_of(store, young.key), (hour_ago, hour_ago))
    assert fresh(store).get(young.key) is not None  # somebody may be about to use it
    assert store.sweep(lambda key: key == used.key, min_age_seconds=600) == 0


async def test_text_that_is_gone_is_said_to_be(store: SegmentStore) -> None:
    found = store.put(await built())
    shutil.rmtree(store._root)
    with pytest.raises(IndexUnavailable, match="removed while"):
        found.unit_text(0)
