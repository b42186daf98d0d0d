"""Models of the user's, into a bundle and out of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from localassist.bundle.models import PackedModel, choose_models
from localassist.bundle.placing import place_models
from localassist.errors import BundleError, ModelFileRejected, ModelNotFound
from localassist.registry import Catalog
from localassist.registry.manifest import FileSource, ModelManifest, ServerSource
from localassist.registry.parts import part_paths
from tests.bundle.tiny import Tiny, unpack
from tests.registry.conftest import WriteGguf, write_gguf
from tests.registry.test_given import embedder_folder

__all__ = ["write_gguf"]


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "home")


def test_a_model_moves_to_another_machine(
    tiny: Tiny, tmp_path: Path, catalog: Catalog, write_gguf: WriteGguf
) -> None:
    model = catalog.add(write_gguf("mine.gguf"), tool_mode="none")
    (packed,) = choose_models(catalog, ["mine", "mine", "smollm2-135m-instruct"])
    verified = tiny.create(tmp_path / "b.tar", models=(packed,), with_kernel=False)
    assert verified.manifest.models == ("mine",)
    folder = unpack(tmp_path / "b.tar", tmp_path / "b") / "models"
    assert str(tmp_path) not in (folder / "mine.toml").read_text()
    there = tmp_path / "there"
    assert list(place_models(folder, there)) == ["mine was added"]
    other = Catalog(there)
    found = other.get("mine")
    assert found.sha256 == model.sha256 and found.tool_mode == "none"
    assert other.locate(found) == there / "models" / "files" / "mine.gguf"
    assert list(place_models(folder, there)) == ["mine is there already"]


def test_a_model_that_is_there_with_other_weights_stays(
    tmp_path: Path, catalog: Catalog, write_gguf: WriteGguf
) -> None:
    packed = PackedModel(catalog.add(write_gguf("mine.gguf")), (write_gguf("mine.gguf"),))
    models = tmp_path / "models"
    models.mkdir()
    (models / "mine.toml").write_text(packed.manifest_text())
    other = Catalog(tmp_path / "there")
    (tmp_path / "else").mkdir()
    kept = other.add(write_gguf("else/mine.gguf", metadata={"general.name": "else"}))
    assert list(place_models(models, tmp_path / "there")) == [
        "mine is there already, with other weights"
    ]
    assert other.get("mine") == kept


def test_a_split_model_keeps_its_parts(tmp_path: Path) -> None:
    parts = part_paths(tmp_path / "big-00001-of-00003.gguf")
    assert [path.name for path in parts] == [f"big-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
    manifest = ModelManifest(
        id="mine", kind="chat", source=FileSource(path=parts[0]), sha256="0" * 64, size_bytes=3
    )
    packed = PackedModel(manifest, parts)
    assert list(packed.files()) == [f"models/mine-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
    models = tmp_path / "models"
    models.mkdir()
    (models / "mine.toml").write_text(packed.manifest_text())
    for number, path in enumerate(packed.files()):
        (tmp_path / path).write_text(str(number))
    assert list(place_models(models, tmp_path / "home")) == ["mine was added"]
    source = Catalog(tmp_path / "home").get("mine").source
    assert isinstance(source, FileSource)
    assert [path.read_text() for path in part_paths(source.path)] == ["0", "1", "2"]


def test_an_embedding_model_moves_with_all_that_it_is_made_of(
    tiny: Tiny, tmp_path: Path, catalog: Catalog
) -> None:
    source = embedder_folder(tmp_path / "mine")
    (source / "modules.json").write_text(json.dumps([{"path": ""}, {"path": "1_Pooling"}]))
    needed = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    for other in ("pytorch_model.bin", "code.py", ".gitattributes", "onnx/model.onnx"):
        (source / other).parent.mkdir(exist_ok=True)
        (source / other).write_text("not needed")
    model = catalog.add(source)
    (packed,) = choose_models(catalog, ["mine"])
    tiny.create(tmp_path / "b.tar", models=(packed,), with_kernel=False)
    folder = unpack(tmp_path / "b.tar", tmp_path / "b") / "models"
    there = tmp_path / "there"
    half_done = there / "models" / "files" / "mine"
    half_done.mkdir(parents=True)
    (half_done / "left").write_text("by an installation that was killed")
    assert list(place_models(folder, there)) == ["mine was added"]
    other = Catalog(there)
    placed = other.locate(other.get("mine"))
    assert {str(path.relative_to(placed)) for path in placed.rglob("*") if path.is_file()} == needed
    assert other.get("mine").sha256 == model.sha256
    assert list(place_models(folder, there)) == ["mine is there already"]
    other.remove("mine")
    assert not placed.exists() and source.exists()


def test_a_list_of_modules_that_leads_elsewhere_is_refused(
    tmp_path: Path, catalog: Catalog
) -> None:
    source = embedder_folder(tmp_path / "mine")
    catalog.add(source)
    for text in ('[{"path": "../else"}]', '[{"path": "/else"}]', "[1]", "{"):
        (source / "modules.json").write_text(text)
        with pytest.raises(ModelFileRejected, match="modules.json"):
            choose_models(catalog, ["mine"])


def test_what_cannot_be_packed_is_said(
    tmp_path: Path, catalog: Catalog, write_gguf: WriteGguf
) -> None:
    server = ServerSource(server="http://127.0.0.1:9")
    catalog.add_server(ModelManifest(id="far", kind="chat", source=server))
    with pytest.raises(BundleError, match="far is computed by another server"):
        choose_models(catalog, ["far"])
    with pytest.raises(ModelNotFound, match="nobody"):
        choose_models(catalog, ["nobody"])
    path = write_gguf("mine.gguf")
    catalog.add(path)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ModelFileRejected):
        choose_models(catalog, ["mine"])
