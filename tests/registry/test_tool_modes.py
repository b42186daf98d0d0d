"""What is remembered of how models call functions."""

from __future__ import annotations

from pathlib import Path

import pytest

from localassist.registry.manifest import ModelManifest
from localassist.registry.tool_modes import Finding, ToolModeMemory

FOUND = Finding("native", 1.0, 0.75)


def manifest(**fields: object) -> ModelManifest:
    weights = {"source": {"path": "/nowhere.gguf"}, "sha256": "a" * 64, "size_bytes": 1}
    return ModelManifest.model_validate({"id": "m", "kind": "chat", **weights, **fields})


SERVER: dict[str, object] = {
    "source": {"server": "http://127.0.0.1:9"},
    "sha256": "",
    "size_bytes": 0,
}


def test_what_one_process_found_another_knows(tmp_path: Path) -> None:
    ToolModeMemory(tmp_path).remember(manifest(), "T", FOUND)
    other = Finding("guided", 0.0, 1.0)
    ToolModeMemory(tmp_path).remember(manifest(sha256="b" * 64), "T", other)
    memory = ToolModeMemory(tmp_path)
    assert memory.recall(manifest(), "T") == memory.recall(manifest()) == FOUND
    assert memory.recall(manifest(sha256="b" * 64), "T") == other


def test_the_same_weights_under_another_name_are_known(tmp_path: Path) -> None:
    memory = ToolModeMemory(tmp_path)
    memory.remember(manifest(), "T", FOUND)
    assert memory.recall(manifest(id="again"), "T") == FOUND


@pytest.mark.parametrize("fields", [{"sha256": "b" * 64}, {"chat_template": "{{ tools }}"}, SERVER])
def test_another_model_or_template_is_not_known(tmp_path: Path, fields: dict[str, object]) -> None:
    memory = ToolModeMemory(tmp_path)
    memory.remember(manifest(), "T", FOUND)
    assert memory.recall(manifest(**fields), "T") is None


def test_a_server_that_changed_its_template_is_not_known(tmp_path: Path) -> None:
    memory = ToolModeMemory(tmp_path)
    memory.remember(manifest(**SERVER), "T", FOUND)
    assert memory.recall(manifest(**SERVER), "T") == memory.recall(manifest(**SERVER)) == FOUND
    assert memory.recall(manifest(**SERVER), "U") is None


@pytest.mark.parametrize(
    ("old", "new"), [("native", "psychic"), ('"mode"', '"mood"'), ('"version": 1', '"version": 0')]
)
def test_a_record_that_is_not_understood_counts_as_none(tmp_path: Path, old: str, new: str) -> None:
    memory = ToolModeMemory(tmp_path)
    memory.remember(manifest(), "T", FOUND)
    file = tmp_path / "cache" / "tool_modes.json"
    file.write_text(file.read_text().replace(old, new))
    assert memory.recall(manifest(), "T") is None


@pytest.mark.parametrize("damage", [b"", b"[]", b"\xff{", b'{"x": 1'])
def test_a_damaged_file_is_replaced(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "tool_modes.json").write_bytes(damage)
    memory = ToolModeMemory(tmp_path)
    assert memory.recall(manifest(), "T") is None
    memory.remember(manifest(), "T", FOUND)
    assert memory.recall(manifest(), "T") == FOUND


def test_a_folder_that_cannot_be_written_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    ToolModeMemory(tmp_path).remember(manifest(), "T", FOUND)
    assert "how m calls functions is not remembered" in caplog.text
