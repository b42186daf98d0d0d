"""Manifests: what is accepted, what is refused with which words, and the way back to TOML."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.core import SamplingParams
from localassist.errors import ConfigError
from localassist.registry.catalog import RECOMMENDED, shipped_models_folder
from localassist.registry.manifest import (
    FileSource,
    ModelManifest,
    PackageSource,
    SamplingDefaults,
    ServerSource,
    read_manifest,
    to_toml,
)

HASH = "0" * 64
MINIMAL = f"""
id = "m"
kind = "chat"
sha256 = "{HASH}"
size_bytes = 1
source = {{ path = "/m.gguf" }}
"""


def write(folder: Path, text: str, name: str = "m.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_both_sources_are_told_apart(tmp_path: Path) -> None:
    assert read_manifest(write(tmp_path, MINIMAL)).source == FileSource(path=Path("/m.gguf"))
    package = MINIMAL.replace('path = "/m.gguf"', 'package = "p-q", module = "p_q", file = "m"')
    expected = PackageSource(package="p-q", module="p_q", file="m")
    assert read_manifest(write(tmp_path, package)).source == expected


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        ('id = "m"', 'id = "../m"', "id"),
        ('id = "m"', 'id = "other"', "id"),
        ('kind = "chat"', 'kind = "speech"', "kind"),
        ("size_bytes = 1", "size_bytes = 1\ncontext = 5", "context"),
        ("size_bytes = 1", "size_bytes = 0", "size_bytes"),
        (HASH, HASH.upper().replace("0", "F"), "sha256"),
        ('"/m.gguf"', '"m.gguf"', "source.file.path"),
        ('path = "/m.gguf"', 'package = "p", module = "p", file = "../m"', "source.package.file"),
        ('path = "/m.gguf"', 'package = "p", module = "a.b", file = "m"', "source.package.module"),
        ("size_bytes = 1", "size_bytes = 1\nsampling = { heat = 1 }", "sampling.heat"),
        ("size_bytes = 1", 'size_bytes = 1\nquoting = "last"', "quoting"),
        ("size_bytes = 1", "size_bytes = 1\nsampling = { top_p = 0 }", "sampling.top_p"),
    ],
)
def test_a_wrong_field_is_named_with_its_file(
    tmp_path: Path, before: str, after: str, field: str
) -> None:
    path = write(tmp_path, MINIMAL.replace(before, after))
    with pytest.raises(ConfigError) as caught:
        read_manifest(path)
    assert caught.value.message.startswith(f"{path}: {field}: ")


@pytest.mark.parametrize("content", [b"id = ", b"\xff\xfe"])
def test_what_is_not_toml_is_a_config_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="not valid TOML"):
        read_manifest(path)


def test_sampling_defaults_are_fields_of_the_sampling_parameters() -> None:
    fields = {field.name for field in dataclasses.fields(SamplingParams)}
    assert set(SamplingDefaults.__annotations__) < fields
    zero = ModelManifest.model_validate(
        {
            "id": "m",
            "kind": "chat",
            "sha256": HASH,
            "size_bytes": 1,
            "source": {"path": "/m"},
            "sampling": {"temperature": 0},
        }
    )
    assert SamplingParams(**zero.sampling).temperature == 0


TEXT = st.text(st.characters(codec="utf-8"), max_size=20)


@given(
    description=TEXT,
    template=st.none() | TEXT,
    path=TEXT.filter(lambda text: "\0" not in text),
    aliases=st.lists(TEXT, max_size=3),
)
def test_toml_round_trip(
    tmp_path_factory: pytest.TempPathFactory,
    description: str,
    template: str | None,
    path: str,
    aliases: list[str],
) -> None:
    manifest = ModelManifest(
        id="m",
        kind="chat",
        source=FileSource(path=Path("/", path)),
        sha256=HASH,
        size_bytes=1,
        description=description,
        aliases=tuple(aliases),
        chat_template=template,
        sampling={"temperature": 0.0, "top_k": 0},
    )
    folder = tmp_path_factory.mktemp("manifest")
    assert read_manifest(write(folder, to_toml(manifest))) == manifest


def test_every_shipped_manifest_is_valid_and_states_its_licence() -> None:
    found = sorted(shipped_models_folder().glob("*.toml"))
    paths = [path for path in found if path.name != RECOMMENDED]
    manifests = [read_manifest(path) for path in paths]
    assert {manifest.kind for manifest in manifests} == {"chat", "embedding"}
    assert all(manifest.licence != "unknown" for manifest in manifests)
    assert all(manifest.context_length is not None for manifest in manifests)


SERVER = """
id = "m"
kind = "chat"
source = { server = "http://127.0.0.1:8080/v1/", api_key_env = "KEY" }
"""


def test_a_model_on_a_server_has_no_weights(tmp_path: Path) -> None:
    manifest = read_manifest(write(tmp_path, SERVER))
    assert isinstance(manifest.source, ServerSource)
    assert manifest.source.url == "http://127.0.0.1:8080"
    assert read_manifest(write(tmp_path, to_toml(manifest))) == manifest


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (SERVER.replace("http:", "file:"), "source.server.server"),
        (SERVER.replace('"KEY"', '"sk-1"'), "source.server.api_key_env"),
        (SERVER.replace('"chat"', '"embedding"'), "source"),
        (f'sha256 = "{HASH}"{SERVER}', "sha256"),
        (f"size_bytes = 1{SERVER}", "size_bytes"),
        (MINIMAL.replace("size_bytes = 1", ""), "size_bytes"),
        (MINIMAL.replace(f'sha256 = "{HASH}"', ""), "sha256"),
    ],
)
def test_weights_are_described_where_there_are_some(tmp_path: Path, text: str, field: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read_manifest(path)
    assert caught.value.message.startswith(f"{path}: {field}: ")
