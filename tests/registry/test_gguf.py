"""The header reader against whole, cut and lying files."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localassist.errors import ModelFileRejected
from localassist.registry.gguf import read_header
from tests.registry.conftest import WriteGguf
from tests.registry.gguf_files import tensor, text


def test_a_whole_file_tells_what_it_is(write_gguf: WriteGguf) -> None:
    path = write_gguf()
    header = read_header(path)
    assert (header.version, header.tensor_count, header.part_count) == (3, 2, 1)
    assert (header.architecture, header.name, header.licence) == ("llama", "Tiny", "mit")
    assert (header.context_length, header.size_label, header.quantization) == (512, "1K", "Q4_0")
    assert header.chat_template is not None
    assert header.metadata["tokenizer.ggml.add_bos_token"] is True
    assert "tokenizer.ggml.tokens" not in header.metadata
    assert header.required_bytes == path.stat().st_size


def test_absent_and_mistyped_metadata_read_as_none(write_gguf: WriteGguf) -> None:
    path = write_gguf(metadata={"general.architecture": "llama", "llama.context_length": "many"})
    header = read_header(path)
    assert (header.context_length, header.chat_template, header.quantization) == (None, None, None)


def test_every_cut_of_a_file_is_rejected(write_gguf: WriteGguf) -> None:
    path = write_gguf()
    whole = path.read_bytes()
    for size_bytes in range(len(whole)):
        path.write_bytes(whole[:size_bytes])
        with pytest.raises(ModelFileRejected):
            read_header(path)


def test_missing_weights_are_counted(write_gguf: WriteGguf) -> None:
    path = write_gguf(weights_bytes=64 + 17)
    size_bytes = path.stat().st_size
    with pytest.raises(ModelFileRejected) as caught:
        read_header(path)
    assert f"at least {size_bytes + 1:,} bytes, the file has {size_bytes:,}" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04rest", "ZIP archive or PyTorch"),
        (b"GG", "not a GGUF file: it starts with the bytes b'GG'"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git's stand-in"),
        (b"\n<!DOCTYPE html><title>Sign in</title>", "a web page"),
        (b"tjgg" + bytes(40), "has given up"),
        (struct.pack("<Q", 90) + b'{"__metadata__": 1}', "safetensors"),
        (b"GGUF" + struct.pack("<I", 4) + bytes(32), "newer than this localassist"),
        (b"GGUF" + struct.pack("<I", 1) + bytes(32), "version 1"),
        (b"GGUF" + struct.pack(">I", 3) + bytes(32), "big-endian"),
    ],
)
def test_other_files_are_named_for_what_they_are(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "other.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelFileRejected) as caught:
        read_header(path)
    assert said in str(caught.value)


HUGE = 2**63
LIES = {
    "string length": {"general__name": struct.pack("<IQ", 8, HUGE)},
    "string of 17 MB": {"general__name": struct.pack("<IQ", 8, 17 * 2**20)},
    "array of numbers": {"x": struct.pack("<IIQ", 9, 10, HUGE)},
    "array of strings": {"x": struct.pack("<IIQ", 9, 8, HUGE)},
    "array of arrays": {"x": struct.pack("<IIQ", 9, 9, 1)},
    "value type": {"x": struct.pack("<I", 99)},
    "metadata count": {"metadata_count": HUGE},
    "tensor count": {"tensor_count": HUGE},
    "alignment zero": {"general__alignment": 0},
    "alignment odd": {"general__alignment": 33},
    "alignment text": {"general__alignment": "32"},
    "alignment huge": {"general__alignment": HUGE},
    "twice the same key": {"tensors": [], "tensor_count": 0, "metadata_count": 3,
                           "z": struct.pack("<IQ", 10, 1) + text("general.name")
                           + struct.pack("<IQ", 10, 1), "metadata": {"general.name": "x"}},
    "dimensions": {"tensors": [text("t") + struct.pack("<I", 2**31)]},
    "shape": {"tensors": [tensor("t", (HUGE, HUGE, HUGE, HUGE), 0, 0)]},
    "offset": {"tensors": [tensor("t", (1,), 0, HUGE)]},
    "offset off the grid": {"tensors": [tensor("t", (1,), 0, 7)]},
    "row not of whole blocks": {"tensors": [tensor("t", (33,), 2, 0)]},
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_lies_are_rejected_before_memory_is_taken(write_gguf: WriteGguf, lie: str) -> None:
    path = write_gguf(**LIES[lie])  # type: ignore[arg-type]
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileRejected):
            read_header(path)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4 * 2**20


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(position=st.integers(0, 2000), replacement=st.binary(min_size=1, max_size=12))
def test_any_damage_reads_or_is_rejected(
    write_gguf: WriteGguf, position: int, replacement: bytes
) -> None:
    path = write_gguf()
    whole = path.read_bytes()
    position %= len(whole)
    path.write_bytes(whole[:position] + replacement + whole[position + len(replacement) :])
    try:
        header = read_header(path)
    except ModelFileRejected:
        return
    assert header.required_bytes <= path.stat().st_size


def test_a_tensor_type_from_the_future_counts_from_its_offset(write_gguf: WriteGguf) -> None:
    future = [tensor("a", (4, 4), 0, 0), tensor("b", (32,), 4000, 64)]
    assert read_header(write_gguf(tensors=future, weights_bytes=64)).tensor_count == 2
    with pytest.raises(ModelFileRejected):
        read_header(write_gguf(tensors=future, weights_bytes=63))
