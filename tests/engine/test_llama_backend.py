"""llama.cpp behind the protocol: cells that are shared, saved and brought back change nothing."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from localassist.engine.backend import BackendError, Batch
from localassist.engine.config import EngineSettings, LoraAdapter
from localassist.engine.footprint import cell_bytes
from localassist.engine.llama import LlamaBackend
from localassist.engine.llama.model import weight_files
from localassist.errors import ModelLoadFailed
from tests.registry.gguf_files import gguf, tensor

pytestmark = pytest.mark.model

SETTINGS = EngineSettings(
    context_tokens=1024, max_sequences=4, cached_segments=8, threads=1, batch_threads=1
)
TEXT = "The capital of France is Paris. The capital of Italy is Rome. " * 12

Row = NDArray[np.float32]


def load(path: Path, settings: EngineSettings = SETTINGS, **changes: Any) -> LlamaBackend:
    return LlamaBackend(path, settings.model_copy(update=changes), use_extra_buffers=False)


@pytest.fixture(scope="module")
def loaded(model_path: Path) -> Iterator[LlamaBackend]:
    backend = load(model_path)
    yield backend
    backend.close()


@pytest.fixture
def backend(loaded: LlamaBackend) -> LlamaBackend:
    for slot in range(loaded.limits.sequence_ids):
        loaded.drop_cells(slot)
    return loaded


@pytest.fixture(scope="module")
def tokens(loaded: LlamaBackend) -> list[int]:
    return loaded.tokenize(TEXT, parse_special=False)[:160]


def feed(backend: LlamaBackend, slot: int, tokens: list[int], start: int = 0) -> Row:
    """Run a pass and return a copy of the last row's logits."""
    rows = len(tokens)
    positions = list(range(start, start + rows))
    backend.forward(Batch(tokens, positions, [slot] * rows, [False] * (rows - 1) + [True]))
    copied: Row = backend.logits(rows - 1).copy()
    return copied


def test_segments_copied_together_predict_the_very_same(
    backend: LlamaBackend, tokens: list[int]
) -> None:
    feed(backend, 0, tokens)
    backend.copy_cells(0, 1, 0, 50)
    backend.copy_cells(0, 2, 50, 160)
    backend.copy_cells(1, 3, 0, 50)
    backend.copy_cells(2, 3, 50, 160)
    expected = feed(backend, 0, [5], 160)
    np.testing.assert_array_equal(feed(backend, 3, [5], 160), expected)


@pytest.mark.parametrize("window", [1024, 64, 7])
def test_saved_segments_predict_the_very_same(
    backend: LlamaBackend, tokens: list[int], monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    """Also when saved a window at a time, as for models with sliding windows."""
    monkeypatch.setattr(backend, "_piece_cells", window)
    feed(backend, 0, tokens)
    backend.copy_cells(0, 3, 0, 160)
    expected = feed(backend, 3, [5], 160)
    backend.drop_cells(3)
    for slot, start, end in ((1, 0, 50), (2, 50, 160)):
        backend.copy_cells(0, slot, start, end)
    saved = [backend.save_cells(1), backend.save_cells(2)]
    for slot in range(3):
        backend.drop_cells(slot)
    # Into other cells than before, and not next to each other.
    feed(backend, 4, tokens[:30])
    for slot, data in zip((2, 1), reversed(saved), strict=True):
        assert backend.load_cells(slot, data)
    assert backend.save_cells(2) == saved[1]
    backend.copy_cells(1, 3, 0, 50)
    backend.copy_cells(2, 3, 50, 160)
    # The order of cells decides the order of sums.
    np.testing.assert_allclose(feed(backend, 3, [5], 160), expected, atol=0.05)
    backend.drop_cells(3)
    backend.drop_cells(4)
    backend.drop_cells(2)
    backend.drop_cells(1)
    for slot, data in zip((1, 2), saved, strict=True):
        assert backend.load_cells(slot, data)
    backend.copy_cells(1, 3, 0, 50)
    backend.copy_cells(2, 3, 50, 160)
    np.testing.assert_array_equal(feed(backend, 3, [5], 160), expected)


def test_saved_cells_serve_another_context_of_the_same_fingerprint(
    backend: LlamaBackend, tokens: list[int], model_path: Path
) -> None:
    feed(backend, 0, tokens)
    data = bytes(backend.save_cells(0))
    expected = feed(backend, 0, [5], 160)
    other = load(model_path, max_sequences=2)
    assert other.fingerprint == backend.fingerprint
    assert other.load_cells(1, memoryview(data))
    np.testing.assert_array_equal(feed(other, 1, [5], 160), expected)
    other.close()


def test_damaged_cells_are_refused_and_leave_nothing(
    backend: LlamaBackend, tokens: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "_piece_cells", 100)
    feed(backend, 0, tokens)
    expected = feed(backend, 0, [5], 160)
    backend.drop_cells(0, 160)
    data = backend.save_cells(0)
    second_piece = 20 + struct.unpack_from("<Q", data, 12)[0]
    backend.drop_cells(0)

    def changed(offset: int, value: int) -> memoryview:
        copy = bytearray(data)
        copy[offset] ^= value
        return memoryview(copy)

    for bad in (
        memoryview(b""),
        data[:10],
        data[:20],
        data[: len(data) // 2],
        data[:second_piece],
        data[second_piece:-1],
        data[:-1],
        memoryview(bytes(data) + b"\0"),
        memoryview(bytes(data[second_piece:]) + bytes(data[:second_piece])),
        changed(0, 1),  # positions of the piece
        changed(4, 1),
        changed(8, 1),  # the end of all
        changed(12, 1),  # its length
        changed(19, 255),
        changed(20, 1),  # llama.cpp's own head: magic, streams, cells
        changed(28, 1),
        changed(32, 1),
        changed(35, 127),
        changed(second_piece, 1),
        changed(second_piece + 32, 1),
    ):
        assert not backend.load_cells(1, bad)
        with pytest.raises(BackendError):
            backend.save_cells(1)
    assert backend.load_cells(1, data)
    np.testing.assert_array_equal(feed(backend, 1, [5], 160), expected)


def test_cells_that_do_not_fit_are_refused(backend: LlamaBackend, tokens: list[int]) -> None:
    feed(backend, 0, tokens)
    data = backend.save_cells(0)
    loads = [backend.load_cells(slot, data) for slot in range(1, 8)]
    assert loads == [True] * 5 + [False] * 2  # 1,024 cells hold six times 160
    backend.drop_cells(5)
    assert backend.load_cells(7, data)
    with pytest.raises(BackendError):
        backend.save_cells(6)


def test_dropped_positions_are_free(backend: LlamaBackend, tokens: list[int]) -> None:
    expected = feed(backend, 0, tokens)
    backend.drop_cells(0, 100)
    np.testing.assert_allclose(feed(backend, 0, tokens[100:], 100), expected, atol=0.2)
    backend.copy_cells(0, 1, 0, 160)
    backend.drop_range(1, 20, 60)
    backend.copy_cells(0, 1, 20, 60)
    backend.drop_cells(0)
    for _ in range(30):  # 1,024 cells would not hold them
        feed(backend, 0, tokens[:40])
        backend.drop_cells(0)
    assert len(backend.save_cells(1)) > 160 * 20_000


def test_logits_are_those_of_the_row(backend: LlamaBackend, tokens: list[int]) -> None:
    """Rows of several sequences, and only some of them wanted."""
    wanted = {3: 0, 4: 1, 9: 3}
    alone = {}
    for row, slot in wanted.items():
        alone[row] = feed(backend, slot, tokens[row : row + 1])
        backend.drop_cells(slot)
    rows = [3, 4, 6, 9]
    wants_logits = [True, True, False, True]
    backend.forward(Batch([tokens[row] for row in rows], [0] * 4, [0, 1, 2, 3], wants_logits))
    for place, row in ((0, 3), (1, 4), (3, 9)):
        np.testing.assert_allclose(backend.logits(place), alone[row], atol=0.3)
        assert backend.logits(place).argmax() == alone[row].argmax()
    for place in (2, 4, -1):
        with pytest.raises(BackendError):
            backend.logits(place)
    backend.logits(0)[7] = 1234.5
    assert backend.logits(0)[7] == 1234.5


def test_as_many_rows_want_logits_as_the_limits_say(
    backend: LlamaBackend, tokens: list[int]
) -> None:
    rows = backend.limits.logits_rows
    assert rows == 64
    backend.forward(Batch(tokens[:rows], list(range(rows)), [0] * rows, [True] * rows))
    first, last = backend.logits(0).copy(), backend.logits(rows - 1).copy()
    backend.drop_cells(0)
    np.testing.assert_allclose(feed(backend, 0, tokens[:1]), first, atol=0.3)
    np.testing.assert_allclose(feed(backend, 0, tokens[1:rows], 1), last, atol=0.3)


def test_the_fingerprint_says_what_cells_depend_on(
    backend: LlamaBackend, model_path: Path, tmp_path: Path
) -> None:
    seen = {backend.fingerprint}
    adapter = LoraAdapter(path=write_adapter(tmp_path / "a.gguf"))
    for changes in (
        {"cache_type_k": "q8_0"},
        {"cache_type_k": "f32"},
        {"flash_attention": "on"},
        {"cache_type_v": "q8_0", "flash_attention": "on"},
        {"lora": (adapter,)},
        {"lora": (adapter.model_copy(update={"scale": 0.5}),)},
    ):
        other = load(model_path, **changes)
        seen.add(other.fingerprint)
        other.close()
    assert len(seen) == 7
    same = load(model_path, threads=2, max_sequences=3, context_tokens=512)
    assert same.fingerprint in seen
    same.close()


def test_cells_of_another_layout_are_refused(
    backend: LlamaBackend, tokens: list[int], model_path: Path
) -> None:
    feed(backend, 0, tokens)
    data = backend.save_cells(0)
    for changes in ({"cache_type_k": "q8_0"}, {"flash_attention": "on"}):
        other = load(model_path, **changes)
        assert not other.load_cells(0, data)
        feed(other, 0, tokens)
        other.close()


def write_adapter(path: Path, *, width: int = 576, architecture: str = "llama") -> Path:
    """A LoRA adapter of rank 4 for the first layer's queries."""
    factors = np.random.default_rng(1).standard_normal((2, 4 * width)).astype(np.float32)
    head = gguf(
        metadata={
            "general.type": "adapter",
            "general.architecture": architecture,
            "adapter.type": "lora",
            "adapter.lora.alpha": 4.0,
        },
        tensors=[
            tensor("blk.0.attn_q.weight.lora_a", (width, 4), 0, 0),
            tensor("blk.0.attn_q.weight.lora_b", (4, width), 0, 16 * width),
        ],
        weights_bytes=0,
    )
    path.write_bytes(head + factors.tobytes())
    return path


def test_an_adapter_changes_what_the_model_says(
    backend: LlamaBackend, tokens: list[int], model_path: Path, tmp_path: Path
) -> None:
    path = write_adapter(tmp_path / "adapter.gguf")
    plain = feed(backend, 0, tokens)
    results = {}
    for scale in (0.0, 0.5, 1.0):
        adapted = load(model_path, lora=(LoraAdapter(path=path, scale=scale),))
        results[scale] = feed(adapted, 0, tokens)
        adapted.close()
    np.testing.assert_allclose(results[0.0], plain, atol=1e-3)
    assert not np.allclose(results[1.0], plain, atol=0.1)
    assert not np.allclose(results[1.0], results[0.5], atol=0.1)


@pytest.mark.parametrize("kind", ["missing", "folder", "text", "architecture", "width", "model"])
def test_an_adapter_that_does_not_fit_is_named(model_path: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "mine.gguf"
    match kind:
        case "folder":
            path.mkdir()
        case "text":
            path.write_text("hello")
        case "architecture":
            write_adapter(path, architecture="qwen2")
        case "width":
            write_adapter(path, width=512)
        case "model":
            path.write_bytes(gguf())
    with pytest.raises(ModelLoadFailed, match=r"mine\.gguf"):
        load(model_path, lora=(LoraAdapter(path=path),))


def test_the_header_tells_how_big_a_cell_is(backend: LlamaBackend) -> None:
    sizes = backend._model.sizes
    assert cell_bytes(sizes, SETTINGS) == 2 * 2 * 30 * 3 * 64  # keys, values; 30 layers, 3 heads
    quantized = SETTINGS.model_copy(update={"cache_type_k": "q8_0", "cache_type_v": "q4_0"})
    assert cell_bytes(sizes, quantized) == 30 * 3 * (68 + 36)


def test_all_parts_of_a_split_model_count(tmp_path: Path) -> None:
    parts = [tmp_path / f"big-0000{part}-of-00002.gguf" for part in (1, 2)]
    for part in parts:
        part.write_bytes(b"x")
    assert weight_files(parts[0]) == parts
    for name in ("big.gguf", "one-of-them.gguf", "a-00001-of-00002.gguf"):
        assert weight_files(tmp_path / name) == [tmp_path / name]


def test_more_sequences_than_rows_with_logits_by_default_each_get_one(model_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"max_sequences": 100})
    backend = load(model_path, settings)
    rows = list(range(100))
    assert backend.limits.logits_rows >= 100
    backend.forward(Batch([5] * 100, [0] * 100, rows, [True] * 100))
    assert all(np.isfinite(backend.logits(row)).all() for row in rows)
    backend.close()


def test_segments_put_together_from_the_end_are_saved_whole(
    backend: LlamaBackend, tokens: list[int]
) -> None:
    feed(backend, 0, tokens)
    backend.copy_cells(0, 1, 0, 50)
    backend.copy_cells(0, 2, 50, 160)
    backend.copy_cells(1, 2, 0, 50)
    backend.drop_cells(1)
    data = backend.save_cells(2)
    assert backend.load_cells(3, data)
    expected = feed(backend, 0, [5], 160)
    np.testing.assert_array_equal(feed(backend, 3, [5], 160), expected)
    np.testing.assert_array_equal(feed(backend, 2, [5], 160), expected)
