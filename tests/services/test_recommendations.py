"""The list of known models, and what fits where."""

from __future__ import annotations

import pytest

from localassist.engine.config import EngineSettings
from localassist.engine.copies import BITS_PER_WEIGHT
from localassist.engine.footprint import footprint_bytes
from localassist.services.recommendations import (
    COMMON_RAM_GB,
    KnownModel,
    fitting_context,
    known_models,
    recommend,
)
from tests.docs_pages import DOCS

MODELS = known_models()
GIB = 2**30


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_files_size_follows_from_parameters_and_type(model: KnownModel) -> None:
    """Small models keep their large vocabulary in more bits."""
    plain = model.parameters * BITS_PER_WEIGHT[model.quantization.lower()] / 8
    assert 0.95 * plain <= model.file_gb <= 1.35 * plain


@pytest.mark.parametrize("ram_gb", COMMON_RAM_GB)
def test_every_common_size_has_models_that_fit(ram_gb: int) -> None:
    found = recommend(ram_gb)
    assert found
    for one in found:
        kv_cells = EngineSettings(snapshot_memory_mb=0)
        taken = footprint_bytes(
            one.model.size_bytes, one.model.metadata, kv_cells, one.context_tokens
        )
        assert taken < 0.8 * ram_gb * GIB
        assert 2048 <= one.context_tokens <= one.model.trained_tokens


def test_sizes_in_between_get_the_list_of_the_smaller_and_more_context() -> None:
    names = {one.model.name for one in recommend(16)}
    assert {one.model.name for one in recommend(24)} == names
    for small, large in zip(recommend(16), recommend(24), strict=True):
        assert small.context_tokens <= large.context_tokens


def test_a_context_never_shrinks_with_memory() -> None:
    for model in MODELS:
        fitting = [fitting_context(model, gib * GIB) for gib in range(1, 96)]
        assert fitting == sorted(fitting)
        assert fitting[0] == 0 or model.file_gb < 1


def test_below_the_smallest_there_is_the_shipped_one_or_none() -> None:
    assert recommend(1) == []
    assert [one.model.name for one in recommend(2)] in ([], ["SmolLM2-135M-Instruct"])


def test_the_page_says_the_same() -> None:
    text = (DOCS / "models.md").read_text(encoding="utf-8")
    for ram_gb in COMMON_RAM_GB:
        for one in recommend(ram_gb):
            model = one.model
            row = (
                f"| {ram_gb} GB | {model.name} | {model.quantization} | {model.file_gb:g} GB | "
                f"{one.context_tokens:,} | {model.licence} |"
            )
            assert row in text, f"docs/models.md lacks the row {row}"
