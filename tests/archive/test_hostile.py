"""Dumps that are anything: they are imported or refused by place, and never break anything."""

from __future__ import annotations

import asyncio
import copy
import gzip
import json
import os
import random
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localassist.archive.gathering import Gathered, gather
from localassist.archive.reading import Reading
from localassist.archive.sources import opened_source
from localassist.archive.staging import opened_staging
from localassist.errors import ConfigError, StorageUnavailable
from localassist.runtime import open_archive
from tests.archive import hosted
from tests.archive.conftest import settings_of

OBJECTS = [
    hosted.assistant(),
    {"id": hosted.THREAD, "object": "thread", "created_at": 1, "metadata": {}},
    hosted.message(1, "user", "Hello."),
    hosted.answer(3, "Hello to you."),
    hosted.run(),
    hosted.step(1, hosted.CALLS),
    hosted.step(2, hosted.SEARCHED),
    hosted.step(3, hosted.SAID),
    hosted.file(hosted.FILE, "handbook.md", 5),
    hosted.store(),
    hosted.store_file(hosted.FILE),
]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.sampled_from(["thread.message", "list", hosted.THREAD, "../x", "\0", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["object", "id", "type", "data", "created_at", "x", "file_id"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict | list):
        children = value.items() if isinstance(value, dict) else enumerate(value)
        for name, child in children:
            found += places(child, (*path, name))
    return found


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    changed = copy.deepcopy(value)
    owner = changed
    for step in path[:-1]:
        owner = owner[step]
    owner[path[-1]] = new
    return changed


def gathered_of(path: Path) -> tuple[Reading, Gathered]:
    with (
        opened_source(path) as source,
        TemporaryDirectory() as folder,
        opened_staging(Path(folder)) as staging,
    ):
        reading, gathered = gather(source, staging)
        for thread_id in gathered.threads:
            gathered.talk(thread_id, gathered.files)
        return reading, gathered


async def load(home: Path, path: Path, **options: Any) -> Any:
    async with open_archive(settings_of(home)) as archive:
        return await archive.load(path, "default", **options)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_an_object_with_a_strange_value_is_read_or_refused(
    tmp_path: Path, data: st.DataObject
) -> None:
    one = data.draw(st.sampled_from(OBJECTS))
    path = data.draw(st.sampled_from(places(one)))
    changed = replaced(one, path, data.draw(JSON))
    file = tmp_path / "dump.json"
    file.write_text(json.dumps([changed, *OBJECTS]), encoding="utf-8")
    reading, _ = gathered_of(file)
    assert all(said.startswith("dump.json") for said in reading.problems)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode()))
def test_any_bytes_are_read_or_refused(tmp_path: Path, raw: bytes) -> None:
    for name in ("dump.json", "dump.jsonl"):
        (tmp_path / name).write_bytes(raw)
        gathered_of(tmp_path / name)


def test_what_is_accepted_can_be_stored(tmp_path: Path) -> None:
    """Many dumps with strange values into one data folder: what is not refused is written."""
    draw = random.Random(8)
    strange = [None, 0, 2**62, -1, 1.5, "", "x" * 70_000, "é" * 50, [], {}, [{}], True, "2024"]
    folder = tmp_path / "dumps"
    folder.mkdir()
    lines = []
    for number in range(300):
        one = json.dumps(draw.choice(OBJECTS)).replace("hosted", f"n{number}x")
        value = json.loads(one)
        path = draw.choice(places(value))
        lines.append(json.dumps(replaced(value, path, draw.choice(strange))))
    (folder / "all.jsonl").write_text("\n".join(lines))
    done = asyncio.run(load(tmp_path / "data", folder, skip_invalid=True))
    assert not done.problems, done.problems
    assert done.left_out and sum(done.tally["threads"].values()) > 20
    exported = tmp_path / "all.zip"

    async def export() -> None:
        from localassist.archive.export import Selection

        async with open_archive(settings_of(tmp_path / "data")) as archive:
            await archive.export("default", exported, Selection())

    asyncio.run(export())
    again = asyncio.run(load(tmp_path / "new", exported))
    assert not again.problems, again.problems


@pytest.mark.parametrize(
    "raw",
    [
        b'{"object": "thread", "id": "thread_x", "created_at": 1' + b', "x": ["' * 5000,
        b"[" * 200_000,
        b'[{"object": "assistant"}',
        b'{"object": "thread", "id": "thread_x", "created_at": ' + b"9" * 5000 + b"}",
        b'{"object": "thread", "id": "thread_x", "created_at": NaN}',
        b"\xff\xfe\x00",
        b"\x00" * 100,
    ],
)
def test_bad_json_is_refused_with_its_place(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "dump.json").write_bytes(raw)
    done = asyncio.run(load(tmp_path / "data", tmp_path / "dump.json"))
    assert done.problems and done.problems[0].startswith("dump.json")


def test_other_encodings_are_read(tmp_path: Path) -> None:
    text = json.dumps(hosted.page(hosted.assistant(name="Zoë")), ensure_ascii=False)
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
        (tmp_path / "dump.json").write_bytes(text.encode(encoding))
        reading, gathered = gathered_of(tmp_path / "dump.json")
        assert not reading.problems and gathered.assistants[hosted.ASSISTANT].name == "Zoë"


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("bomb.json", "bomb.jsonl"):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as bomb:
            with bomb.open(name, "w", force_zip64=True) as part:
                for _ in range(40):
                    part.write(b" " * 2**20)
        monkeypatch.setattr("localassist.archive.documents.MOST_BYTES", 32 * 2**20)
        done = asyncio.run(load(tmp_path / "data", tmp_path / f"{name}.zip"))
        (problem,) = done.problems
        assert problem.startswith(name) and "JSON lines" in problem
    with zipfile.ZipFile(tmp_path / "content.zip", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("files.json", json.dumps(hosted.file(hosted.FILE, "big.txt", 2**24)))
        bomb.writestr(f"{hosted.FILE}.txt", b" " * 2**24)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Disk", (), {"free": 2**20}))
    with pytest.raises(StorageUnavailable, match="no room"):
        asyncio.run(load(tmp_path / "data", tmp_path / "content.zip"))
    assert not list((tmp_path / "data" / "blobs").glob("??/*"))


def test_what_is_nothing_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "letter.txt").write_text("Dear Ada,")
    (tmp_path / "zip.zip").write_bytes(b"PK\x03\x04 and nothing")
    line = json.dumps(hosted.assistant()).encode()
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(line))
    with zipfile.ZipFile(tmp_path / "cut.zip", "w") as whole:
        whole.writestr("all.jsonl", line)
    os.truncate(tmp_path / "cut.zip", len(line))
    for name, said in (
        ("empty", "no objects"),
        ("letter.txt", "no objects"),
        ("zip.zip", "cut short"),
        ("cut.zip", "cut short"),
        ("packed.jsonl.gz", "unpack it"),
        ("missing.json", "cannot be read"),
    ):
        with pytest.raises(ConfigError, match=said):
            asyncio.run(load(tmp_path / "data", tmp_path / name))
