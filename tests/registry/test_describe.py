"""From header to manifest."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.errors import ConfigError, ModelFileRejected
from localassist.registry.describe import check_chat_model, check_tool_mode, choose_id, describe
from localassist.registry.gguf import GgufHeader, read_header
from localassist.registry.manifest import ID_PATTERN
from tests.registry.conftest import WriteGguf

PATH = Path("/models/x.gguf")


def header(tensor_count: int = 1, **metadata: str | int) -> GgufHeader:
    entries = {key.replace("__", "."): value for key, value in metadata.items()}
    return GgufHeader(3, tensor_count, {"general.architecture": "llama"} | entries, 0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Qwen2.5-0.5B-Instruct-Q4_K_M.gguf", "qwen2.5-0.5b-instruct-q4_k_m"),
        ("My Model (final).gguf", "my-model-final"),
        ("模型.gguf", "model"),
    ],
)
def test_an_id_is_made_from_the_file_name(name: str, expected: str) -> None:
    assert choose_id(Path(name), None) == expected


@given(st.text(min_size=1).filter(lambda text: "/" not in text and "\0" not in text))
def test_a_made_id_is_always_legal(stem: str) -> None:
    assert re.match(ID_PATTERN, choose_id(Path(stem + ".gguf"), None))


@pytest.mark.parametrize("wanted", ["", "A", "a/b", "..", "a b", "-a", "a\n"])
def test_an_illegal_wanted_id_is_refused(wanted: str) -> None:
    with pytest.raises(ConfigError):
        choose_id(PATH, wanted)


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (header(split__count=3), "one of 3 parts of a model, and parts are found by their names"),
        (header(general__type="adapter"), "adapter"),
        (header(general__type="mmproj"), "image projector"),
        (header(general__architecture="clip"), "image projector"),
        (header(general__architecture="nomic-bert"), "embedding model"),
        (header(llama__pooling_type=3), "embedding model"),
        (header(general__type="imatrix"), "importance matrix"),
        (header(tensor_count=0), "no weights"),
    ],
)
def test_what_is_no_chat_model_is_named(odd: GgufHeader, said: str) -> None:
    with pytest.raises(ModelFileRejected, match=said):
        check_chat_model(PATH, [odd])


@pytest.mark.parametrize("mode", ["native", "guided", "none", "auto"])
def test_a_tool_mode_is_known(mode: str) -> None:
    assert check_tool_mode(mode) == mode


@pytest.mark.parametrize("mode", ["", "Native", "hermes"])
def test_another_tool_mode_is_refused(mode: str) -> None:
    with pytest.raises(ConfigError, match="is not native, guided, none or auto"):
        check_tool_mode(mode)


def test_a_manifest_says_what_the_header_says(write_gguf: WriteGguf) -> None:
    path = write_gguf()
    manifest = describe("tiny", path, "0" * 64, 5, read_header(path))
    assert (manifest.kind, manifest.licence, manifest.quantization) == ("chat", "mit", "Q4_0")
    assert (manifest.context_length, manifest.tool_mode) == (512, "auto")
    assert manifest.description == "Tiny 1K"
    assert manifest.sampling == {}


def test_a_header_without_a_context_length_leaves_it_open() -> None:
    bare = describe("x", PATH, "0" * 64, 5, header(llama__context_length=0))
    assert bare.context_length is None
