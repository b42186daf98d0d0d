"""Which copies pay, and that llama.cpp really makes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from localassist.engine import EngineSettings
from localassist.engine.copies import (
    BITS_PER_WEIGHT,
    Comparison,
    Speed,
    best_copy,
    compare,
    estimate_bytes,
    make_copy,
    needed_memory,
)
from localassist.errors import ModelLoadFailed
from localassist.registry.gguf import read_header


def comparison(
    gains: tuple[float, float, float] = (1.5, 1.0, 1.2),
    *,
    agreement: float = 0.95,
    divergence: float = 0.005,
) -> Comparison:
    original = Speed(300.0, 100.0, 200.0)
    prefill, decode, several = gains
    copy = Speed(300.0 * prefill, 100.0 * decode, 200.0 * several)
    return Comparison(original, copy, agreement, divergence, 19.0, 19.5)


@pytest.mark.parametrize(
    ("found", "pays"),
    [
        (comparison(), True),
        (comparison((1.0, 1.16, 1.0)), True),
        (comparison((1.14, 1.14, 1.14)), False),
        (comparison((3.0, 0.9, 1.0)), False),
        (comparison(agreement=0.89), False),
        (comparison(divergence=0.021), False),
    ],
)
def test_a_copy_pays_that_is_faster_and_as_good(found: Comparison, pays: bool) -> None:
    assert found.pays == pays


def test_the_best_copy_is_the_fastest_that_pays() -> None:
    worse = comparison((9.0, 9.0, 9.0), divergence=1.0)
    assert best_copy([("q4_0", worse)]) is None
    assert best_copy([]) is None
    some, more = comparison((1.2, 1.0, 1.0)), comparison((1.2, 1.1, 1.0))
    assert best_copy([("a", some), ("b", more), ("c", worse)]) == "b"


@pytest.mark.parametrize("file_type", BITS_PER_WEIGHT)
@pytest.mark.parametrize("quantization", ["Q4_1", "F16", None, "NEW"])
def test_estimates_grow_with_the_bits(file_type: str, quantization: str | None) -> None:
    estimate = estimate_bytes(1000, quantization, file_type)
    assert estimate >= 500
    assert estimate <= estimate_bytes(1000, quantization, "f16")
    assert needed_memory(1000, estimate) > 1000 + estimate


@pytest.mark.model
def test_the_embedded_model_becomes_q8_0(model_path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.gguf"
    make_copy(model_path, copy, "q8_0")
    original, made = read_header(model_path), read_header(copy)
    assert (made.quantization, made.tensor_count) == ("Q8_0", original.tensor_count)
    assert made.chat_template == original.chat_template
    assert copy.stat().st_size < estimate_bytes(model_path.stat().st_size, "Q4_1", "q8_0")


@pytest.mark.model
def test_what_cannot_be_copied_is_an_error(model_path: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.gguf"
    text.write_text("no model")
    with pytest.raises(ModelLoadFailed):
        make_copy(text, tmp_path / "copy.gguf", "q8_0")
    with pytest.raises(ModelLoadFailed):
        make_copy(model_path, tmp_path / "no folder" / "copy.gguf", "q8_0")


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.timeout(600)
def test_a_copy_is_compared_with_its_original(model_path: Path, tmp_path: Path) -> None:
    """Q8_0 keeps what Q4_1 has; with itself the model agrees at every place."""
    settings = EngineSettings(threads=1, batch_threads=1, micro_batch_tokens=512)
    same = compare(model_path, model_path, settings, tmp_path)
    assert (same.agreement, round(same.divergence, 6)) == (1.0, 0.0)
    assert same.perplexity == same.copy_perplexity
    copy = tmp_path / "copy.gguf"
    make_copy(model_path, copy, "q8_0")
    found = compare(model_path, copy, settings, tmp_path)
    assert found.agreement > 0.9 and 0 <= found.divergence < 0.02
    assert all(gain > 0 for gain in found.gains)
