"""Which file lies where, the beginnings of texts, and the limits that assistants ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from localassist.engine import ScriptedEngine
from localassist.errors import InvalidRequest
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.limits import Limits
from localassist.schemas.assistants import AssistantCreate, AssistantUpdate
from localassist.services.code_layout import layout
from localassist.services.file_heads import head_of, is_text
from localassist.services.sandbox_limits import PREFIX, check_limits, wanted_limits
from localassist.storage.blobs import Blob
from localassist.storage.code_files import StoredFile
from tests.runs.conftest import OpenRuntime, P, open_scripted

__all__ = ["open_scripted"]

MAXIMA = Limits.of(SandboxSettings())


def stored(id_: str, name: str, age: int = 0) -> StoredFile:
    return StoredFile(id_, name, Blob("0" * 64, 1), 0, age)


def placed(given: list[StoredFile], written: dict[str, StoredFile]) -> dict[str, str]:
    """Path to file id, or to ``-> path`` for a link."""
    _, everything = layout(given, written)
    return {p: f"-> {w.link_to}" if w.link_to else w.file.id for p, w in everything.items()}


def test_given_files_have_name_and_id() -> None:
    files = [stored("file-1", "a.csv"), stored("file-2", "a.csv")]
    assert placed(files, {}) == {
        "a.csv": "file-1",
        "a (2).csv": "file-2",
        "file-1": "-> a.csv",
        "file-2": "-> a (2).csv",
    }


def test_the_newer_of_two_files_has_the_path_and_the_given_one_keeps_its_id() -> None:
    given = [stored("file-1", "a.csv", age=5)]
    by_code = {"a.csv": stored("file-9", "a.csv", age=9), "b": stored("file-8", "b", age=1)}
    assert placed(given, by_code) == {"a.csv": "file-9", "b": "file-8", "file-1": "file-1"}
    older = {"a.csv": stored("file-0", "a.csv", age=1)}
    assert placed(given, older) == {"a.csv": "file-1", "file-1": "-> a.csv"}


def test_a_given_file_does_not_take_the_name_of_a_folder() -> None:
    paths = placed([stored("file-1", "out")], {"out/table.csv": stored("file-2", "table.csv")})
    assert paths == {"out (2)": "file-1", "out/table.csv": "file-2", "file-1": "-> out (2)"}


@pytest.mark.parametrize(
    ("content", "head"),
    [
        (b"a,b\r\n1,2\r\n", "a,b\n1,2"),
        (b"", ""),
        ("\ufeffgrößer\n".encode(), "größer"),
        ("a;ü\n".encode("utf-16"), "a;ü"),
        ("preis;größe\n".encode("cp1252"), "preis;größe"),
        (b"".join(b"%d\n" % n for n in range(30)), "\n".join(map(str, range(20)))),
        (b"short\n" + b"x" * 5000, "short"),
        (b"[" + b"1," * 5000, "[" + "1," * 2047 + "1"),
        ("ä".encode() * 3000, "ä" * 2048),
        (b"\x00\x01\x02", None),
        (b"PK\x03\x04" + bytes(5000), None),
    ],
)
def test_the_beginning_of_a_text(tmp_path: Path, content: bytes, head: str | None) -> None:
    (tmp_path / "f").write_bytes(content)
    assert head_of(tmp_path / "f") == head


def test_texts_are_known_by_their_extension() -> None:
    assert is_text("A.CSV") and is_text("x.y.json")
    assert not is_text("a.xlsx") and not is_text("csv") and not is_text("a.png")


@pytest.mark.parametrize(
    ("key", "text", "code", "words"),
    [
        ("cell_seconds", "fast", "invalid_type", "expected a decimal number as a string"),
        ("memory_mb", "1e3", "invalid_type", "expected an integer as a string, but got '1e3'"),
        ("memory_mb", "512.5", "invalid_type", "expected an integer"),
        ("memory_mb", "", "invalid_type", "expected an integer"),
        ("memory_mb", "1_000", "invalid_type", "expected an integer"),
        ("memory_mb", "999999", "integer_above_max_value", "<= 2048, but got 999999"),
        ("memory_mb", "-5", "integer_below_min_value", ">= 256"),
        ("cell_seconds", "0", "decimal_below_min_value", ">= 0.1"),
        ("cell_seconds", "120.5", "decimal_above_max_value", "<= 120,"),
        ("max_kernels", "3", "unknown_parameter", "Unknown parameter"),
        ("", "3", "unknown_parameter", "Unknown parameter"),
    ],
)
def test_a_limit_that_is_none_is_refused(key: str, text: str, code: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_limits({PREFIX + key: text}, MAXIMA)
    assert caught.value.code == code and words in caught.value.message
    assert caught.value.param == f"metadata.{PREFIX}{key}"


def test_limits_are_lowered_and_never_raised() -> None:
    metadata = {f"{PREFIX}memory_mb": "512", f"{PREFIX}cell_seconds": "0.5", "other": "x"}
    check_limits(metadata, MAXIMA)
    lowered = MAXIMA.lowered(wanted_limits(metadata))
    assert (lowered.memory_mb, lowered.cell_seconds, lowered.files) == (512, 0.5, MAXIMA.files)
    # What was stored when the operator allowed more, or before it meant anything.
    old = {f"{PREFIX}memory_mb": "999999", f"{PREFIX}files": "many", f"{PREFIX}images": "-1"}
    assert MAXIMA.lowered(wanted_limits(old)) == MAXIMA
    assert wanted_limits(None) == {}


async def test_assistants_are_refused_with_wrong_limits(open_scripted: OpenRuntime) -> None:
    async with open_scripted(ScriptedEngine()) as runtime:
        good = {"model": "scripted", "metadata": {f"{PREFIX}cell_seconds": "20"}}
        assistant = await runtime.assistants.create(P, AssistantCreate.model_validate(good))
        bad = {"metadata": {f"{PREFIX}cell_seconds": "never"}}
        with pytest.raises(InvalidRequest):
            await runtime.assistants.update(P, assistant.id, AssistantUpdate.model_validate(bad))
        with pytest.raises(InvalidRequest):
            body = AssistantCreate.model_validate({"model": "scripted", **bad})
            await runtime.assistants.create(P, body)
        after = await runtime.assistants.retrieve(P, assistant.id)
        assert after.metadata == good["metadata"]
