"""The probe: asked once, remembered, a dead child is a no."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from localassist.engine import probe

pytestmark = pytest.mark.model


def test_the_verdict_is_asked_once_and_remembered(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def child(path: Path, *, timeout_seconds: float) -> bool:
        asked.append(path)
        return False

    monkeypatch.setattr(probe, "run_child", child)
    folder = tmp_path / "new" / "folder"
    for _ in range(2):
        assert not probe.extra_buffers_survive(model_path, folder, timeout_seconds=1)
    assert len(asked) == 1
    (file,) = folder.iterdir()
    assert list(json.loads(file.read_text()).values()) == [False]


@pytest.mark.parametrize("content", ["", "[]", "{", '{"other": 3}'])
def test_a_damaged_file_is_asked_again_and_replaced(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    (tmp_path / "extra_buffers.json").write_text(content)
    monkeypatch.setattr(probe, "run_child", lambda path, timeout_seconds: True)
    assert probe.extra_buffers_survive(model_path, tmp_path, timeout_seconds=1)
    assert list(json.loads((tmp_path / "extra_buffers.json").read_text()).values()) == [True]


def test_the_child_s_end_is_the_verdict(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Survival of repacked weights depends on the machine; the verdict must equal the child's."""
    command = [sys.executable, "-m", "localassist.engine.probe", str(model_path)]
    folder = Path(probe.__file__).parents[2]
    code = subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode
    assert probe.run_child(model_path, timeout_seconds=120) == (code == 0)


def test_a_child_that_dies_or_hangs_is_a_no(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not probe.run_child(tmp_path / "missing.gguf", timeout_seconds=60)
    assert not probe.run_child(model_path, timeout_seconds=0.01)
