"""EngineSettings: defaults fit together, contradictions and unknown keys do not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

import localassist
from localassist.engine import EngineSettings


def test_defaults_are_valid() -> None:
    settings = EngineSettings()
    assert settings.sequence_ids == settings.max_sequences + settings.cached_segments


@pytest.mark.parametrize(
    "values",
    [
        {"max_sequences": 64, "batch_tokens": 32},
        {"max_sequences": 200, "cached_segments": 100},
        {"threads": 0},
        {"cache_type_k": "q3"},
        {"cache_type_v": "q8_0", "flash_attention": "off"},
        {"n_ctx": 512},
    ],
)
def test_contradictions_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        EngineSettings.model_validate(values)


def test_importing_the_package_loads_no_model_runtime() -> None:
    code = (
        "import sys, localassist.engine; "
        "print([m for m in ('llama_cpp', 'llguidance', 'numpy') if m in sys.modules])"
    )
    folder = Path(localassist.__file__).parents[1]
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "[]"
