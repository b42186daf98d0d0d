"""Backups of a folder that is being worked on, and what comes back."""

from __future__ import annotations

import os
import shutil
import tarfile
import threading
import time
from pathlib import Path

import pytest

from localassist.archive.backup import create_backup
from localassist.archive.restore import restore, verify
from localassist.engine import ScriptedEngine
from localassist.errors import ConfigError, StorageCorrupt, StorageUnavailable
from localassist.storage.snapshot import content_of
from tests.archive.conftest import Opened, fill, texts

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")


@pytest.fixture
def home(tmp_path: Path, filled: Path) -> Path:
    """A data folder with something in it, and no server."""
    return shutil.copytree(filled, tmp_path / "data")


def leftovers(folder: Path) -> list[Path]:
    return list(folder.rglob(".localassist-partial-*"))


def test_everything_comes_back(tmp_path: Path, opened: Opened) -> None:
    home, new = tmp_path / "data", tmp_path / "new"
    with opened(home) as client:
        ids = fill(client)
        said = texts(client, ids["thread"])
        made = create_backup(home, tmp_path / "b.tar")
    assert made.head.counts["messages"] == 2 and not made.head.missing
    shutil.rmtree(home)
    restored = restore(tmp_path / "b.tar", new)
    assert restored.kept is None
    assert content_of(new / "localassist.db").counts == made.head.counts
    assert not (new / "stores").exists() and (new / "segments").is_dir()
    with opened(new) as client:
        assert texts(client, ids["thread"]) == said
        assert client.files.content(ids["file"]).read().startswith(b"# Leave")
        found = client.vector_stores.search(ids["store"], query="days of leave").data
        assert found and found[0].file_id == ids["file"]
    assert not leftovers(tmp_path)


def test_what_is_written_and_deleted_meanwhile_harms_nothing(
    tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contents older than the grace of deletions go with their rows while backups are made."""
    home = tmp_path / "data"
    with opened(home) as client:
        fill(client)
        monkeypatch.setattr("localassist.storage.blobs._GRACE_SECONDS", -1)
        stop = threading.Event()

        def work() -> None:
            kept: list[str] = []
            number = 0
            while not stop.is_set():
                content = f"content {number}\n".encode() * 200
                kept.append(
                    client.files.create(file=(f"{number}.txt", content), purpose="assistants").id
                )
                client.beta.threads.create(messages=[{"role": "user", "content": "Hello."}])
                if len(kept) > 5:
                    client.files.delete(kept.pop(0))
                number += 1

        worker = threading.Thread(target=work)
        worker.start()
        try:
            made = [create_backup(home, tmp_path / f"{number}.tar") for number in range(4)]
        finally:
            stop.set()
            worker.join()
    for each in made:
        assert not each.head.missing and not each.damaged
        assert verify(each.path) == each.head
    assert not leftovers(tmp_path)


def test_a_run_in_the_middle_goes_on_after_a_restore(tmp_path: Path, opened: Opened) -> None:
    home, new = tmp_path / "data", tmp_path / "new"
    answer = " ".join(f"This is sentence number {number}." for number in range(150))
    slow = ScriptedEngine(default_reply=answer, delay_seconds=0.05)
    with opened(home, slow) as client:
        assistant = client.beta.assistants.create(model="gpt-4o")
        thread = client.beta.threads.create(messages=[{"role": "user", "content": "Tell."}])
        run = client.beta.threads.runs.create(thread_id=thread.id, assistant_id=assistant.id)
        while not texts(client, thread.id)[-1][1]:
            time.sleep(0.01)
        create_backup(home, tmp_path / "b.tar")
        client.beta.threads.runs.cancel(run.id, thread_id=thread.id)
    restore(tmp_path / "b.tar", new)
    # What held the run is another process of long ago; here it is this one, which lives.
    import sqlite3

    with sqlite3.connect(new / "localassist.db") as database:
        assert database.execute("SELECT status FROM runs").fetchone() == ("in_progress",)
        database.execute("UPDATE runs SET lease_expires_at = 0")
    database.close()
    with opened(new, ScriptedEngine(default_reply=answer)) as client:
        ended = client.beta.threads.runs.poll(run.id, thread_id=thread.id)
        assert ended.status == "completed", ended.last_error
        assert texts(client, thread.id) == [("user", "Tell."), ("assistant", answer)]


def test_segments_and_indexes_that_are_lost_are_made_anew(
    tmp_path: Path, opened: Opened, home: Path
) -> None:
    shutil.rmtree(home / "segments")
    assert create_backup(home, tmp_path / "b.tar").lost_segments == 1
    new = tmp_path / "new"
    restore(tmp_path / "b.tar", new)
    with opened(new) as client:
        (store,) = client.vector_stores.list().data
        until = time.monotonic() + 30
        while client.vector_stores.retrieve(store.id).file_counts.completed < 1 or not (
            client.vector_stores.search(store.id, query="leave").data
        ):
            assert time.monotonic() < until
            time.sleep(0.05)


def spoil(path: Path, whole: bytes, at: int) -> None:
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])


def test_a_changed_byte_is_found_and_named(tmp_path: Path, home: Path) -> None:
    path = tmp_path / "b.tar"
    create_backup(home, path)
    whole = path.read_bytes()
    with tarfile.open(path) as tar:
        members = [(m.name, m.offset_data + m.size // 2) for m in tar if m.size]
    for name, at in members:
        spoil(path, whole, at)
        with pytest.raises((StorageCorrupt, ConfigError), match=name if "/" in name else "."):
            verify(path)
    with pytest.raises((StorageCorrupt, ConfigError)):
        restore(path, tmp_path / "new")
    assert not (tmp_path / "new").exists() and not leftovers(tmp_path)


def test_a_changed_byte_of_a_compressed_file_is_found(tmp_path: Path, home: Path) -> None:
    path = tmp_path / "b.tar.gz"
    create_backup(home, path)
    whole = path.read_bytes()
    for tenth in range(1, 9):
        spoil(path, whole, len(whole) * tenth // 10)
        with pytest.raises((StorageCorrupt, ConfigError)):
            verify(path)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.7, 0.9])
def test_a_file_that_was_cut_short_is_refused(tmp_path: Path, home: Path, share: float) -> None:
    path = tmp_path / "b.tar"
    create_backup(home, path)
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises((StorageCorrupt, ConfigError), match=r"damaged|not a backup"):
        restore(path, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_what_does_not_belong_into_a_backup_is_refused(tmp_path: Path, home: Path) -> None:
    good = tmp_path / "b.tar"
    create_backup(home, good)
    for name, kind in [("data/../evil", b"0"), ("/etc/evil", b"0"), ("data/link", b"2")]:
        bad = tmp_path / "bad.tar"
        with tarfile.open(good) as source, tarfile.open(bad, "w") as target:
            head, *rest = source.getmembers()
            target.addfile(head, source.extractfile(head))
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            target.addfile(info)
            for member in rest:
                target.addfile(member, source.extractfile(member))
        with pytest.raises(StorageCorrupt, match="does not belong"):
            restore(bad, tmp_path / "new")
    assert not (tmp_path / "evil").exists() and not (tmp_path / "new").exists()


@pytest.mark.parametrize(("old", "new"), [('"version":1', '"version":9'), ('"0006"', '"9999"')])
def test_a_backup_of_a_newer_release_is_refused(
    tmp_path: Path, home: Path, old: str, new: str
) -> None:
    path = tmp_path / "b.tar"
    create_backup(home, path)
    with tarfile.open(path) as tar:
        member = tar.next()
        assert member is not None and member.name == "backup.json"
        at, size = member.offset_data, member.size
    raw = path.read_bytes()
    text = raw[at : at + size].decode().replace('": ', '":')
    assert old in text
    changed = text.replace(old, new).ljust(size).encode()
    path.write_bytes(raw[:at] + changed + raw[at + size :])
    with pytest.raises(ConfigError, match="upgrade localassist"):
        restore(path, tmp_path / "new")


def test_a_folder_that_is_not_empty_is_kept(tmp_path: Path, home: Path) -> None:
    create_backup(home, tmp_path / "b.tar")
    with pytest.raises(ConfigError, match="not empty"):
        restore(tmp_path / "b.tar", home)
    (home / "mark").write_text("old")
    restored = restore(tmp_path / "b.tar", home, replace=True)
    assert restored.kept is not None and (restored.kept / "mark").read_text() == "old"
    assert not (home / "mark").exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("mine")
    with pytest.raises(ConfigError, match="no data folder"):
        restore(tmp_path / "b.tar", other, replace=True)
    assert (other / "letter.txt").read_text() == "mine"


def test_a_folder_that_is_worked_on_is_not_replaced(tmp_path: Path, opened: Opened) -> None:
    home = tmp_path / "data"
    with opened(home) as client:
        fill(client)
        create_backup(home, tmp_path / "b.tar")
        with pytest.raises(ConfigError, match="server works on"):
            restore(tmp_path / "b.tar", home, replace=True)
        assert client.beta.assistants.list().data


def test_manifests_of_weights_in_the_folder_move_with_it(tmp_path: Path, home: Path) -> None:
    weights = home / "models" / "files" / "big.gguf"
    weights.parent.mkdir()
    weights.write_bytes(b"GGUF and so on")
    manifest = f'id = "big"\nkind = "chat"\nsha256 = "{"1" * 64}"\nsize_bytes = 14\n'
    (home / "models" / "big.toml").write_text(f'{manifest}[source]\npath = "{weights}"\n')
    made = create_backup(home, tmp_path / "light.tar")
    assert made.left_out == ("models/files/big.gguf",)
    light = restore(tmp_path / "light.tar", tmp_path / "light")
    assert set(light.weights_missing) == {"big", "scripted"}
    create_backup(home, tmp_path / "heavy.tar", with_weights=True)
    heavy = restore(tmp_path / "heavy.tar", tmp_path / "heavy")
    assert "big" not in heavy.weights_missing
    said = (tmp_path / "heavy" / "models" / "big.toml").read_text()
    assert str(tmp_path / "heavy" / "models" / "files" / "big.gguf") in said


def test_a_content_that_the_folder_lost_is_said(tmp_path: Path, home: Path) -> None:
    (content,) = content_of(home / "localassist.db").blobs
    path = home / "blobs" / content[:2] / content
    path.write_bytes(b"something else")
    assert create_backup(home, tmp_path / "damaged.tar").damaged == (content,)
    path.unlink()
    made = create_backup(home, tmp_path / "missing.tar")
    assert made.head.missing == [content] and verify(made.path) == made.head


def test_a_database_elsewhere_is_left_to_its_own_tools(tmp_path: Path, home: Path) -> None:
    url = "postgresql+psycopg://localhost/assistants"
    with pytest.raises(ConfigError, match="pg_dump"):
        create_backup(home, tmp_path / "b.tar", database_url=url)
    made = create_backup(home, tmp_path / "b.tar", database_url=url, without_database=True)
    assert made.head.schema_revision is None
    restore(made.path, tmp_path / "new")
    assert not (tmp_path / "new" / "localassist.db").exists()
    assert list((tmp_path / "new" / "blobs").glob("??/*"))


def test_no_room_is_said_before_and_nothing_is_left(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_backup(home, tmp_path / "good.tar")
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StorageUnavailable, match="no room"):
        create_backup(home, tmp_path / "b.tar")
    with pytest.raises(StorageUnavailable, match="no room"):
        restore(tmp_path / "good.tar", tmp_path / "new")
    assert not (tmp_path / "b.tar").exists() and not (tmp_path / "new").exists()
    assert not leftovers(tmp_path)


def test_what_a_killed_process_left_is_removed(tmp_path: Path, home: Path) -> None:
    left = home / ".localassist-partial-killed"
    left.mkdir()
    (left / "lock").touch()
    (left / "backup").write_bytes(b"half")
    create_backup(home, tmp_path / "b.tar")
    assert not left.exists()
    with tarfile.open(tmp_path / "b.tar") as tar:
        assert not [name for name in tar.getnames() if "partial" in name]


def test_stopping_it_leaves_nothing(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_backup(home, tmp_path / "good.tar")

    def stop_at(step: int) -> None:
        calls = iter(range(1000))

        def told(*_: object) -> None:
            if next(calls) == step:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            create_backup(home, tmp_path / "b.tar", on_progress=told)
        calls = iter(range(1000))
        with pytest.raises(KeyboardInterrupt):
            restore(tmp_path / "good.tar", tmp_path / "new", on_progress=told)

    for step in (0, 2, 3):
        stop_at(step)
    assert not (tmp_path / "b.tar").exists() and not (tmp_path / "new").exists()
    assert not leftovers(tmp_path)


def test_nothing_that_exists_is_written_over(tmp_path: Path, home: Path) -> None:
    (tmp_path / "b.tar").write_text("mine")
    with pytest.raises(ConfigError, match="exists"):
        create_backup(home, tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_text() == "mine"
    with pytest.raises(ConfigError, match="no data folder"):
        create_backup(tmp_path / "nothing", tmp_path / "c.tar")
    with pytest.raises(ConfigError, match="not a backup"):
        verify(tmp_path / "b.tar")
