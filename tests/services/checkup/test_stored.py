"""The database and the files beside it: each way in which they can be wrong is found, and looking
changes nothing."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from localassist.retrieval.segment_files import segment_folder
from localassist.retrieval.segments import SegmentStore
from localassist.services.checkup import Finding, segments, stored
from localassist.settings import Settings, load_settings
from localassist.storage.config import StorageSettings
from localassist.storage.database import Database
from localassist.storage.process_lock import working_lock
from tests.retrieval.made import segment

Check = Callable[[Settings], Iterator[Finding]]
SHA = "ab" * 32


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data folder with a database that nobody has open."""
    home = tmp_path / "data"
    Database.open(home, StorageSettings())._dispose()
    return home


def look(check: Check, home: Path) -> Finding:
    (found,) = check(load_settings(home, environ={}))
    return found


def change(home: Path, *statements: str) -> None:
    with closing(sqlite3.connect(home / "localassist.db")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def add_file(home: Path, content: bytes | None, size_bytes: int = 3) -> None:
    """A row, and what lies where its content should."""
    change(
        home,
        "INSERT INTO files (id, created_at, project_id, filename, bytes, purpose, sha256) VALUES "
        f"('file-1', {int(time.time())}, 'proj_default', 'a', {size_bytes}, 'assistants', '{SHA}')",
    )
    if content is not None:
        path = home / "blobs" / SHA[:2] / SHA
        path.parent.mkdir(parents=True)
        path.write_bytes(content)


def add_segments(home: Path) -> list[Path]:
    """The folders of what was read from three files, two in one store; a fourth is still to do."""
    made = SegmentStore(home / "segments")
    rows = []
    for number, store in enumerate(("vs_1", "vs_1", "vs_2")):
        content = segment([f"frog {number}", "toad"])
        content.key = f"{number}{number}" * 32
        made.put(content)
        rows.append((f"file-{number}", store, "completed", f"'{content.key}'"))
    for file_id, store, status, key in (*rows, ("file-9", "vs_3", "in_progress", "NULL")):
        change(
            home,
            "INSERT INTO vector_store_files (file_id, store_id, project_id, created_at, status, "
            f"usage_bytes, attributes, segment_key, interruptions) VALUES ('{file_id}', '{store}', "
            f"'proj_default', 1, '{status}', 0, '{{}}', {key}, 0)",
        )
    return [segment_folder(home / "segments", f"{number}{number}" * 32) for number in range(3)]


def files(home: Path) -> dict[str, tuple[int, int]]:
    paths = [path for path in home.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}


ALL: tuple[Check, ...] = (
    stored.database,
    stored.schema,
    stored.contents,
    segments.segments,
    stored.work,
    stored.clock_of_rows,
)


@pytest.mark.parametrize("check", ALL)
def test_what_is_in_order_is_left_as_it_is(home: Path, check: Check) -> None:
    add_file(home, b"abc")
    add_segments(home)
    before = files(home)
    assert look(check, home).status == "ok"
    assert files(home) == before


def test_a_service_may_work_meanwhile(home: Path) -> None:
    add_segments(home)
    with closing(sqlite3.connect(home / "localassist.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("INSERT INTO projects VALUES ('proj_2', 'two', 1)")
        assert [look(check, home).status for check in ALL] == ["ok"] * len(ALL)


@pytest.mark.parametrize("check", [stored.schema, stored.contents, stored.work])
@pytest.mark.parametrize("damage", ["header", "none"])
def test_one_cause_is_said_once(tmp_path: Path, check: Check, damage: str) -> None:
    tmp_path.joinpath("other").mkdir()
    if damage == "header":
        (tmp_path / "other" / "localassist.db").write_bytes(b"no database, " * 1000)
    assert list(check(load_settings(tmp_path / "other", environ={}))) == []


def test_a_damaged_database(home: Path) -> None:
    path = home / "localassist.db"
    content = bytearray(path.read_bytes())
    content[8192:12288] = b"\xff" * 4096
    path.write_bytes(content)
    found = look(stored.database, home)
    assert found.status == "failed" and found.fix is not None and "backup restore FILE" in found.fix


def test_a_large_database_is_not_read_for_ever(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "_CHECK_SECONDS", -1.0)
    change(home, *(f"INSERT INTO projects VALUES ('p{n}', 'x', 1)" for n in range(3000)))
    found = look(stored.database, home)
    assert found.status == "ok" and found.says[0].startswith("Readable. Only the first")


def test_a_log_that_grows(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "_LARGE_LOG_BYTES", 1000)
    with closing(sqlite3.connect(home / "localassist.db")) as other:
        other.execute("INSERT INTO projects VALUES ('proj_2', 'two', 1)")
        other.commit()
        assert look(stored.database, home).status == "warning"


def test_schemas_of_other_releases(home: Path) -> None:
    change(home, "UPDATE alembic_version SET version_num = '0003'")
    found = look(stored.schema, home)
    assert found.status == "warning" and "still to come" in found.says[0]
    change(home, "UPDATE alembic_version SET version_num = '9999'")
    found = look(stored.schema, home)
    assert found.status == "failed" and "newer localassist" in found.says[0]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "1 of 1 contents of files are missing."),
        (b"ab", "1 do not have their recorded size."),
    ],
)
def test_contents_that_are_not_those_of_the_rows(
    home: Path, content: bytes | None, says: str
) -> None:
    add_file(home, content)
    found = look(stored.contents, home)
    assert found.status == "failed" and found.says == (says, f"The first: {SHA[:12]}.")


def test_contents_of_no_row_are_counted_once_they_are_old(home: Path) -> None:
    loose = home / "blobs" / "cd" / ("cd" * 32)
    loose.parent.mkdir(parents=True)
    loose.write_bytes(b"x")
    assert look(stored.contents, home).says[1] == ""
    os.utime(loose, (1, 1))
    assert look(stored.contents, home).says[1].startswith("1 more belong to no file")


def cut(folder: Path) -> None:
    path = folder / "text.txt"
    path.write_bytes(path.read_bytes()[:-1])


def turn_a_bit(folder: Path) -> None:
    path = folder / "vectors.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "harm", [shutil.rmtree, cut, turn_a_bit, lambda folder: (folder / "meta.json").unlink()]
)
def test_what_was_read_from_files_of_stores_is_compared(
    home: Path, harm: Callable[[Path], None]
) -> None:
    harm(add_segments(home)[1])
    before = files(home)
    found = look(segments.segments, home)
    assert found.status == "warning"
    assert found.says[0] == "1 of 3 contents of files are missing or damaged, in vs_1."
    assert found.fix is not None and "localassist stores search vs_1 TEXT" in found.fix
    assert files(home) == before


def test_of_large_stores_a_part_is_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "_READ_SECONDS", -1.0)
    folders = add_segments(home)
    cut(folders[0])
    assert look(segments.segments, home).says[0].endswith("all there; 0 of them read.")
    shutil.rmtree(folders[0])
    assert look(segments.segments, home).status == "warning"


def test_what_the_disk_refuses_is_no_reason_to_make_it_anew(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path, key: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(folder / "meta.json"))

    folders = add_segments(home)
    monkeypatch.setattr(segments, "read_segment", refuse)
    found = look(segments.segments, home)
    assert found.status == "failed" and found.fix is not None
    assert any(str(folder) in found.says[0] for folder in folders)


def test_runs_that_nobody_works_on(home: Path) -> None:
    now = int(time.time())
    change(
        home,
        "INSERT INTO threads (id, created_at, project_id, tool_resources, metadata) "
        f"VALUES ('thread_1', {now}, 'proj_default', '{{}}', '{{}}')",
        "INSERT INTO runs (id, created_at, project_id, thread_id, assistant_id, status, request, "
        "metadata, last_event_seq, interruptions) VALUES ('run_1', "
        f"{now}, 'proj_default', 'thread_1', 'asst_1', 'in_progress', '{{}}', '{{}}', 0, 0)",
    )
    found = look(stored.work, home)
    assert found.status == "warning" and "1 run is under way" in found.says[0]
    lock = working_lock(home)
    assert lock.acquire()
    assert look(stored.work, home).says[0] == "A service works on this data folder."
    lock.release()
    # The file of the lock is still there, and nobody holds it.
    assert look(stored.work, home).status == "warning"


def test_a_clock_that_was_set_back(home: Path) -> None:
    change(home, f"INSERT INTO threads (id, created_at, project_id, tool_resources, metadata) "
           f"VALUES ('t', {int(time.time()) + 3600}, 'proj_default', '{{}}', '{{}}')")  # fmt: skip
    found = look(stored.clock_of_rows, home)
    assert found.status == "warning" and found.says[0].startswith("The clock was set back")


def test_a_clock_in_the_past(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localassist.clock.now", lambda: 86400)
    found = look(stored.clock_of_rows, home)
    assert found.status == "failed" and "1970-01-02" in found.says[0]


def test_after_a_kill_it_is_read_with_its_log(home: Path) -> None:
    code = (
        "import os, sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1])\n"
        "connection.execute(\"INSERT INTO projects VALUES ('proj_2', 'two', 1)\")\n"
        "connection.commit()\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(home / "localassist.db")], check=False)
    log = home / "localassist.db-wal"
    assert log.stat().st_size > 0
    content = log.read_bytes()
    assert look(stored.database, home).status == "ok"
    assert log.read_bytes() == content
