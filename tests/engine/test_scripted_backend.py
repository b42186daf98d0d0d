"""The scripted backend is strict: what llama.cpp would compute wrongly, it refuses."""

from __future__ import annotations

import pytest

from localassist.engine.backend import Backend, BackendError, Batch
from localassist.engine.scripted_backend import ScriptedBackend


def feed(backend: ScriptedBackend, slot: int, tokens: list[int], start: int = 0) -> list[float]:
    """Run a pass and return the last row's logits."""
    rows = len(tokens)
    wants_logits = [False] * (rows - 1) + [True]
    positions = list(range(start, start + rows))
    backend.forward(Batch(tokens, positions, [slot] * rows, wants_logits))
    return backend.logits(rows - 1).tolist()


def test_it_is_a_backend() -> None:
    backend: Backend = ScriptedBackend()
    assert backend.limits.sequence_ids == 16


def test_segments_copied_together_are_the_whole() -> None:
    backend = ScriptedBackend()
    tokens = list(range(20))
    feed(backend, 0, tokens)
    expected = feed(backend, 0, [99], 20)
    backend.copy_cells(0, 1, 0, 8)
    backend.copy_cells(0, 2, 8, 20)
    backend.drop_cells(0)
    assert backend.used_cells == 20
    assert backend.tokens_in(2) == {position: position for position in range(8, 20)}
    backend.copy_cells(1, 3, 0, 8)
    backend.copy_cells(2, 3, 8, 20)
    assert backend.used_cells == 20
    assert feed(backend, 3, [99], 20) == expected


def test_saved_segments_come_back() -> None:
    backend = ScriptedBackend()
    feed(backend, 0, list(range(20)))
    backend.copy_cells(0, 1, 12, 20)
    data = backend.save_cells(1)
    backend.drop_cells(1)
    backend.drop_range(0, 12, 20)
    assert backend.used_cells == 12
    assert backend.load_cells(5, data)
    backend.copy_cells(5, 0, 12, 20)
    assert backend.tokens_in(0) == {position: position for position in range(20)}
    assert backend.used_cells == 20


def test_a_load_that_fails_leaves_the_slot_empty() -> None:
    backend = ScriptedBackend(cells=10)
    feed(backend, 0, [1, 2, 3, 4])
    data = backend.save_cells(0)
    damaged = bytearray(data)
    damaged[-3] ^= 1
    foreign = ScriptedBackend(fingerprint="another")
    for bad in (memoryview(damaged), data[:-1], data[:2], memoryview(b"")):
        assert not backend.load_cells(1, bad)
    assert not foreign.load_cells(1, data)
    backend.refuses_loads = True
    assert not backend.load_cells(1, data)
    backend.refuses_loads = False
    assert backend.load_cells(1, data)
    assert not backend.load_cells(2, data)  # no room
    assert backend.used_cells == 8
    assert backend.tokens_in(2) == {}


def test_a_hole_is_filled_before_going_on() -> None:
    backend = ScriptedBackend()
    feed(backend, 0, list(range(10)))
    backend.copy_cells(0, 1, 0, 10)
    backend.drop_range(1, 3, 6)
    with pytest.raises(BackendError):
        feed(backend, 1, [1], 10)
    backend.copy_cells(0, 1, 3, 6)
    feed(backend, 1, [1], 10)


def test_what_makes_no_sense_is_refused() -> None:
    backend = ScriptedBackend()
    feed(backend, 0, [1, 2, 3])
    backend.copy_cells(0, 1, 1, 3)
    for position in (0, 2, 3, 4):
        with pytest.raises(BackendError):
            feed(backend, 1, [9], position)
    with pytest.raises(BackendError):
        feed(backend, 0, [9], 4)
    with pytest.raises(BackendError):
        backend.copy_cells(0, 1, 0, 2)  # it has a cell at 1
    with pytest.raises(BackendError):
        backend.copy_cells(0, 2, 0, 4)  # there is none at 3
    with pytest.raises(BackendError):
        backend.copy_cells(0, 0, 0, 0)
    with pytest.raises(BackendError):
        backend.load_cells(0, backend.save_cells(0))
    with pytest.raises(BackendError):
        backend.save_cells(9)
    for slot in (-1, 16):
        with pytest.raises(BackendError):
            backend.drop_cells(slot)


def test_a_recurrent_model_only_forgets_whole_sequences() -> None:
    backend = ScriptedBackend(can_truncate=False)
    feed(backend, 0, [1, 2, 3])
    with pytest.raises(BackendError):
        backend.copy_cells(0, 1, 0, 3)
    with pytest.raises(BackendError):
        backend.drop_cells(0, 2)
    with pytest.raises(BackendError):
        backend.drop_range(0, 1, 2)
    with pytest.raises(BackendError):
        backend.save_cells(0)
    backend.drop_cells(0)
    assert backend.used_cells == 0
