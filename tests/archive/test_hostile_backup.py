"""Backups and archives made to harm whoever reads them."""

from __future__ import annotations

import gzip
import io
import random
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from localassist.archive import sources
from localassist.archive.backup import create_backup
from localassist.archive.backup_file import DATABASE, BackupWriter, Head, opened_backup
from localassist.archive.restore import restore, verify
from localassist.archive.sources import opened_source
from localassist.errors import ConfigError, LocalAssistError, StorageCorrupt

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")

Files = dict[str, bytes]


@pytest.fixture(scope="module")
def content(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """What a sound backup holds, by name."""
    path = tmp_path_factory.mktemp("sound") / "b.tar"
    create_backup(filled, path)
    with tarfile.open(path) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]


def packed(path: Path, content: Files, **head: object) -> Path:
    """A backup of these files, with sums that fit."""
    parts = {name: data for name, data in content.items() if name.startswith("data/")}
    told = Head.model_validate_json(content["backup.json"])
    size = sum(map(len, parts.values()))
    with path.open("wb") as file:
        writer = BackupWriter(file, compress=False)
        writer.head(told.model_copy(update={"files": len(parts), "bytes": size, **head}))
        for name, data in parts.items():
            part = path.with_suffix(".part")
            part.write_bytes(data)
            writer.add(name, part, len(data), lambda _: None)
        writer.finish()
    return path


def test_what_is_packed_here_can_be_restored(tmp_path: Path, content: Files) -> None:
    done = restore(packed(tmp_path / "b.tar", content), tmp_path / "new")
    assert not done.damaged and (tmp_path / "new" / "localassist.db").exists()


@pytest.mark.parametrize(
    "name",
    ["data/./localassist.db", "data//x", "data/localassist.db-wal", "data/localassist.db-journal"],
)
def test_nothing_comes_past_the_check_of_the_database(
    tmp_path: Path, content: Files, name: str
) -> None:
    bad = packed(tmp_path / "b.tar", {**content, name: b"x"})
    for read in (verify, lambda path: restore(path, tmp_path / "new")):
        with pytest.raises(StorageCorrupt, match="does not belong"):
            read(bad)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON messages BEGIN DELETE FROM threads; END",
        "CREATE VIEW v AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x FROM n)"
        " SELECT * FROM n",
    ],
)
def test_a_database_brings_nothing_that_acts(
    tmp_path: Path, content: Files, statement: str
) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(content[DATABASE])
    with closing(sqlite3.connect(path)) as database:
        database.execute(statement)
        database.commit()
    bad = packed(tmp_path / "b.tar", {**content, DATABASE: path.read_bytes()})
    with pytest.raises(StorageCorrupt, match="not localassist's"):
        restore(bad, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_content_that_is_not_that_of_its_name_is_said(tmp_path: Path, content: Files) -> None:
    name = next(name for name in content if name.startswith("data/blobs/"))
    done = restore(packed(tmp_path / "b.tar", {**content, name: b"x"}), tmp_path / "new")
    assert done.damaged == (name.rpartition("/")[2],)


def _sized(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    "member",
    [
        _sized("data/x", -512),
        _sized("data/x", 2**50, tarfile.GNUTYPE_LONGNAME),
        _sized("data/x", 2**50, tarfile.XHDTYPE),
        _sized("data/x", 512, tarfile.GNUTYPE_SPARSE),
    ],
)
def test_headers_are_not_believed(tmp_path: Path, content: Files, member: bytes) -> None:
    raw = packed(tmp_path / "b.tar", content).read_bytes()
    with tarfile.open(tmp_path / "b.tar") as tar:
        at = tar.getmembers()[1].offset
    (tmp_path / "bad.tar").write_bytes(raw[:at] + member + bytes(512) + raw[at:])
    with pytest.raises(StorageCorrupt):
        verify(tmp_path / "bad.tar")
    (tmp_path / "bad.zip").write_bytes(raw[:at] + member + bytes(512) + raw[at:])
    with pytest.raises(ConfigError):
        with opened_source(tmp_path / "bad.zip") as source:
            source.parts()


def test_members_are_not_all_remembered(
    tmp_path: Path, content: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Millions of empty ones take a few kilobytes when they are compressed."""
    monkeypatch.setattr(sources, "_MOST_PARTS", 100)
    path = tmp_path / "many.tar.gz"
    with gzip.open(path, "wb") as file:
        for number in range(5000):
            file.write(_sized(f"{number % 7}", 0, tarfile.DIRTYPE))
    with pytest.raises(ConfigError, match="at most 100"):
        with opened_source(path) as source:
            source.parts()
    with opened_backup(packed(tmp_path / "b.tar", content)) as reader:
        reader.parts(None, lambda name: False, lambda *_: None)
        assert len(reader._tar.members) <= 1


def _zipped(way: int) -> Callable[[Files], bytes]:
    def pack(files: Files) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", way) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return out.getvalue()

    return pack


def _tarred(mode: str) -> Callable[[Files], bytes]:
    def pack(files: Files) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode=f"w:{mode}") as archive:  # type: ignore[call-overload]
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        return out.getvalue()

    return pack


@pytest.mark.parametrize(
    "pack",
    [
        _zipped(zipfile.ZIP_DEFLATED),
        _zipped(zipfile.ZIP_BZIP2),
        _zipped(zipfile.ZIP_LZMA),
        _tarred("gz"),
        _tarred("bz2"),
        _tarred("xz"),
    ],
)
def test_damage_in_any_archive_is_said(tmp_path: Path, pack: Callable[[Files], bytes]) -> None:
    chance = random.Random(8)
    raw = pack({"a.json": b"[]" * 2000, "b.bin": chance.randbytes(4000)})
    refused = 0
    for _ in range(60):
        changed = bytearray(raw)
        changed[chance.randrange(len(raw))] ^= chance.randrange(1, 256)
        (tmp_path / "x").write_bytes(changed)
        try:
            with opened_source(tmp_path / "x") as source:
                for part in source.parts():
                    list(source.chunks(part))
        except LocalAssistError:
            refused += 1
        else:
            refused += (
                len(source.parts()) == 1
            )  # what is not taken for an archive any more is one file
    assert refused > 40
