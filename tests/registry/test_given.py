"""What paths that people give hold, and what is said of those that hold no model."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from localassist.errors import ConfigError, ModelFileRejected
from localassist.registry import Catalog
from localassist.registry.given import find_given, read_chat_model, remarks_on
from localassist.registry.parts import part_paths
from tests.registry.gguf_files import gguf, split_gguf, tensor


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "home")


def write(folder: Path, files: dict[str, bytes]) -> list[Path]:
    paths = []
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        paths.append(path)
    return paths


def embedder_folder(folder: Path, **config: object) -> Path:
    facts = {"hidden_size": 8, "architectures": ["BertModel"], **config}
    write(
        folder,
        {
            "config.json": json.dumps(facts).encode(),
            "modules.json": b"[]",
            "tokenizer.json": b'{"model": {}}',
            "model.safetensors": b"weights",
            "1_Pooling/config.json": b'{"word_embedding_dimension": 6}',
            "sentence_bert_config.json": b'{"max_seq_length": 128}',
        },
    )
    return folder


def test_a_split_model_is_added_by_any_part_and_hashed_over_all(
    tmp_path: Path, catalog: Catalog
) -> None:
    parts = write(tmp_path, split_gguf("Big-Q8_0", 3))
    model = catalog.add(parts[1])
    whole = b"".join(part.read_bytes() for part in parts)
    assert (model.id, model.size_bytes) == ("big-q8_0", len(whole))
    assert model.sha256 == hashlib.sha256(whole).hexdigest()
    assert catalog.locate(model) == parts[0]
    content = bytearray(parts[2].read_bytes())
    content[-1] ^= 1
    parts[2].write_bytes(content)
    with pytest.raises(ModelFileRejected, match="expected SHA-256"):
        catalog.verify(model)


def test_a_copied_split_model_lives_and_dies_with_all_its_parts(
    tmp_path: Path, catalog: Catalog
) -> None:
    parts = write(tmp_path, split_gguf("big", 2))
    model = catalog.add(parts[0], copy=True, model_id="mine")
    for part in parts:
        part.unlink()
    kept = part_paths(catalog.locate(model))
    assert [path.name for path in kept] == [f"mine-0000{n}-of-00002.gguf" for n in (1, 2)]
    catalog.remove("mine")
    assert not any(path.exists() for path in kept)


def test_missing_and_mixed_parts_are_named(tmp_path: Path) -> None:
    parts = write(tmp_path, split_gguf("big", 3))
    parts[1].rename(tmp_path / "away")
    with pytest.raises(ModelFileRejected, match="missing: big-00002-of-00003.gguf"):
        read_chat_model(parts[0])
    parts[1].write_bytes(parts[2].read_bytes())
    with pytest.raises(ModelFileRejected, match="Part 2 of .* says that it is part 3 of 3"):
        read_chat_model(parts[0])
    other = split_gguf("big", 2)
    wrong = write(tmp_path / "two", other)
    wrong[1].write_bytes(
        gguf(
            metadata={"split.no": 1, "split.count": 2, "split.tensors.count": 2},
            tensors=[tensor("x", (32,), 0, 0), tensor("y", (32,), 0, 128)],
            weights_bytes=256,
        )
    )
    with pytest.raises(ModelFileRejected, match="hold 3 tensors of 2"):
        read_chat_model(wrong[0])
    alone = tmp_path / "renamed.gguf"
    alone.write_bytes(parts[0].read_bytes())
    with pytest.raises(ModelFileRejected, match="renamed-00001-of-00003.gguf"):
        read_chat_model(alone)


def test_a_cut_part_is_named(tmp_path: Path) -> None:
    parts = write(tmp_path, split_gguf("big", 2))
    parts[1].write_bytes(parts[1].read_bytes()[:-1])
    with pytest.raises(ModelFileRejected, match="big-00002-of-00002.gguf is truncated"):
        read_chat_model(parts[0])


def test_a_folder_with_one_model_is_that_model(tmp_path: Path) -> None:
    folder = tmp_path / "repo"
    write(folder, {"README.md": b"", "mmproj-x.gguf": b"", **split_gguf("Q8_0/big", 2)})
    given = find_given(folder)
    assert given.path == folder / "Q8_0" / "big-00001-of-00002.gguf"
    assert given.left_out == ("mmproj-x.gguf",)


def test_of_several_one_is_named(tmp_path: Path) -> None:
    write(tmp_path / "repo", {"a.gguf": gguf(), "b.gguf": gguf()})
    with pytest.raises(ConfigError, match="holds 2 models; choose one with --file: a.gguf, b.gguf"):
        find_given(tmp_path / "repo")
    assert find_given(tmp_path / "repo", "b.gguf").path.name == "b.gguf"
    for wrong in ("c.gguf", "../repo/a.gguf", "/etc/passwd"):
        with pytest.raises(ConfigError, match="there is a.gguf, b.gguf"):
            find_given(tmp_path / "repo", wrong)
    with pytest.raises(ConfigError, match="is not a folder"):
        find_given(tmp_path / "repo" / "a.gguf", "b.gguf")


def test_an_embedding_models_folder_becomes_an_embedder(tmp_path: Path, catalog: Catalog) -> None:
    model = catalog.add(embedder_folder(tmp_path / "My Embedder"))
    assert (model.id, model.kind) == ("my-embedder", "embedding")
    assert (model.dimensions, model.context_length) == (6, 128)
    assert catalog.locate(model) == tmp_path / "My Embedder"
    assert catalog.resolve("my-embedder", "embedding") == model


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "modules.json").unlink(), "format of transformers .BertModel"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "lacks tokenizer.json"),
        (lambda folder: write(folder, {"tokenizer.json": b'{"model": {'}), "a damaged tokenizer"),
        (lambda folder: embedder_folder(folder, auto_map={"A": "b"}), "program code of its own"),
        (lambda folder: write(folder, {"mmproj-a.gguf": b""}), "only an image projector"),
        (lambda folder: [path.unlink() for path in folder.glob("*.json")], "holds no model"),
    ],
)
def test_other_folders_are_named_for_what_they_are(
    tmp_path: Path, spoil: object, said: str
) -> None:
    folder = embedder_folder(tmp_path / "folder")
    spoil(folder)  # type: ignore[operator]
    with pytest.raises(ModelFileRejected, match=said):
        find_given(folder)


def test_what_a_user_should_know_is_said(tmp_path: Path, catalog: Catalog) -> None:
    base = {"general.architecture": "llama", "llama.context_length": 512}
    write(tmp_path, {"base.gguf": gguf(metadata=base), "chat.gguf": gguf()})
    said = remarks_on(catalog.add(tmp_path / "base.gguf"))
    assert [text.split()[1] for text in said] == ["brings", "file"]
    assert remarks_on(catalog.add(tmp_path / "chat.gguf")) == []


def test_what_the_user_has_set_survives_adding_again(tmp_path: Path, catalog: Catalog) -> None:
    write(tmp_path, {"a.gguf": gguf()})
    model = catalog.add(tmp_path / "a.gguf")
    catalog.replace("a", model.model_copy(update={"system_prompt": "Be brief."}))
    write(tmp_path, {"a.gguf": gguf(general__name="New")})
    again = catalog.add(tmp_path / "a.gguf")
    assert (again.system_prompt, again.description) == ("Be brief.", "New 1K")
    with pytest.raises(ConfigError, match="sha256: is a fact"):
        catalog.replace("a", again.model_copy(update={"sha256": "0" * 64}))
