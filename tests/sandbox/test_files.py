"""Files into a folder and out of it, against whoever owns the folder."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from localassist.sandbox import beneath, files
from localassist.sandbox.changes import MAX_DEPTH, Snapshot, take_snapshot
from localassist.sandbox.files import NotKept, open_output, opened_folder, put_file, put_link

SECRET = b"the host's secret"
MIB = 1 << 20


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"a,b\n1,2\n")
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir()
    return path


@pytest.fixture
def folder(data: Path) -> Iterator[int]:
    with opened_folder(data) as descriptor:
        yield descriptor


@pytest.fixture(params=["openat2", "step by step"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of opening below a folder."""
    if request.param == "openat2":
        if not beneath._has_openat2():
            pytest.skip("this system has no openat2")
    else:
        monkeypatch.setattr(beneath, "_has_openat2", lambda: False)
    return str(request.param)


def read(folder: int, path: str, max_bytes: int = MIB) -> bytes:
    output = open_output(folder, path, max_bytes=max_bytes)
    try:
        return b"".join(output.chunks())
    finally:
        output.close()


def snapshot(folder: int, max_entries: int = 1000) -> Snapshot:
    return take_snapshot(folder, max_entries=max_entries)


# --- in -----------------------------------------------------------------------------------------


def test_a_file_is_put_and_read_back(data: Path, folder: int, source: Path, way: str) -> None:
    put_file(folder, "tables/raw/data.csv", source, changed_at=1_000)
    put_link(folder, "file-1", "tables/raw/data.csv")
    assert read(folder, "tables/raw/data.csv") == (data / "file-1").read_bytes()
    status = (data / "tables/raw/data.csv").stat()
    assert status.st_mtime == 1_000 and status.st_mode & 0o777 == 0o600
    assert sorted(p.name for p in data.rglob("*")) == ["data.csv", "file-1", "raw", "tables"]


@pytest.mark.parametrize("planted", ["folder", "link to a file", "link to a folder", "pipe"])
def test_what_code_has_put_in_the_way_is_neither_followed_nor_kept(
    data: Path, folder: int, source: Path, tmp_path: Path, planted: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    victim = outside / "data.csv"
    victim.write_bytes(SECRET)
    for name in ("data.csv", "sub"):
        path = data / name
        if planted == "folder" and name == "data.csv":
            path.mkdir()
            (path / "full").touch()
        elif planted == "link to a file" and name == "data.csv":
            path.symlink_to(victim)
        elif planted == "link to a folder":
            path.symlink_to(outside)
        elif planted == "pipe":
            os.mkfifo(path)
    put_file(folder, "data.csv", source)
    put_file(folder, "sub/data.csv", source)
    for path in (data / "data.csv", data / "sub" / "data.csv"):
        assert path.read_bytes() == source.read_bytes() and not path.is_symlink()
    assert not (data / "sub").is_symlink()
    assert victim.read_bytes() == SECRET and list(outside.iterdir()) == [victim]


@pytest.mark.parametrize("path", ["../data.csv", "/data.csv", "sub/../../data.csv", "a\0b"])
def test_a_path_cannot_leave(folder: int, source: Path, tmp_path: Path, path: str) -> None:
    with pytest.raises(OSError):
        put_file(folder, path, source)
    with pytest.raises(NotKept):
        open_output(folder, path, max_bytes=1)
    assert not (tmp_path / "data.csv").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_files_and_folders_belong_to_the_kernel(data: Path, folder: int, source: Path) -> None:
    put_file(folder, "a/b", source, owner=64571)
    put_link(folder, "l", "a/b", owner=64571)
    owners = {path.lstat().st_uid for path in data.rglob("*")}
    assert owners == {64571}


def test_putting_against_code_that_swaps_everything(
    data: Path, folder: int, source: Path, tmp_path: Path, way: str
) -> None:
    """A thread plants links and folders at every name, the temporary ones included. What lies
    outside stays as it is, and what is put is a file or an error."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "data.csv").write_bytes(SECRET)
    stop = threading.Event()

    def spoil() -> None:
        while not stop.is_set():
            for name in ["sub", "data.csv", *os.listdir(data)]:
                path = data / name
                with suppress(OSError):
                    path.rename(data / f"away-{len(os.listdir(data))}")
                with suppress(OSError):
                    path.symlink_to(outside if name != "data.csv" else outside / name)

    spoiler = threading.Thread(target=spoil)
    spoiler.start()
    outcomes = {"put": 0, "refused": 0}
    try:
        for _ in range(300):
            try:
                put_file(folder, "sub/data.csv", source)
                put_file(folder, "data.csv", source)
                put_link(folder, "file-1", "data.csv")
                outcomes["put"] += 1
            except OSError:
                outcomes["refused"] += 1
    finally:
        stop.set()
        spoiler.join()
    assert sum(outcomes.values()) == 300
    assert [(p.name, p.read_bytes()) for p in outside.iterdir()] == [("data.csv", SECRET)]


@pytest.mark.parametrize("broken", [errno.EXDEV, errno.ENOSYS])
def test_bytes_are_copied_where_the_system_cannot_do_it(
    data: Path, folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: int
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(broken, "no")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    large = tmp_path / "large"
    large.write_bytes(os.urandom(3 * MIB + 17))
    put_file(folder, "large", large)
    assert (data / "large").read_bytes() == large.read_bytes()


def test_a_full_disk_leaves_nothing_behind(
    data: Path, folder: int, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "_copy", full)
    with pytest.raises(OSError, match="No space"):
        put_file(folder, "data.csv", source)
    assert list(data.iterdir()) == []


# --- out ----------------------------------------------------------------------------------------


def plant(data: Path, tmp_path: Path) -> dict[str, str]:
    """One of each kind that is not taken, with a word of the reason."""
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    (data / "link").symlink_to(secret)
    (data / "through").symlink_to(tmp_path)
    os.link(secret, data / "hard")
    os.mkfifo(data / "pipe")
    (data / "folder").mkdir()
    (data / "magic").symlink_to("/proc/self/root/etc/passwd")
    with socket.socket(socket.AF_UNIX) as listener:
        with opened_folder(data) as descriptor:
            listener.bind(f"/proc/self/fd/{descriptor}/socket")
    return {
        "link": "link",
        "through/secret": "link",
        "hard": "hard links",
        "pipe": "regular",
        "folder": "regular",
        "magic": "link",
        "socket": "cannot be read",
        "missing": "removed",
    }


def test_only_plain_files_are_taken(data: Path, folder: int, tmp_path: Path, way: str) -> None:
    for path, reason in plant(data, tmp_path).items():
        with pytest.raises(NotKept, match=reason):
            open_output(folder, path, max_bytes=MIB)


@pytest.mark.skipif(os.getuid() != 0, reason="only root may make devices")
def test_a_device_is_not_opened(data: Path, folder: int) -> None:
    try:
        os.mknod(data / "zero", 0o20666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("this system makes no devices")
    with pytest.raises(NotKept):
        open_output(folder, "zero", max_bytes=MIB)


def test_another_file_system_is_not_entered(way: str) -> None:
    if os.stat("/").st_dev == os.stat("/proc").st_dev:
        pytest.skip("/proc is not mounted")
    with opened_folder(Path("/")) as root, pytest.raises(OSError) as caught:
        beneath.open_beneath(root, "proc/version")
    assert caught.value.errno == errno.EXDEV


def test_a_sparse_file_is_judged_by_its_size(data: Path, folder: int) -> None:
    with (data / "huge").open("wb") as file:
        file.truncate(1 << 40)
    assert (data / "huge").stat().st_blocks == 0
    with pytest.raises(NotKept, match="1,099,511,627,776 bytes are more"):
        open_output(folder, "huge", max_bytes=512 * MIB)


def test_a_file_that_grows_is_kept_as_it_was_and_one_that_shrinks_is_not(
    data: Path, folder: int
) -> None:
    path = data / "log"
    path.write_bytes(b"x" * (2 * MIB))
    output = open_output(folder, "log", max_bytes=4 * MIB)
    chunks = output.chunks()
    kept = len(next(chunks))
    with path.open("ab") as file:
        file.write(b"y" * (64 * MIB))
    assert kept + sum(len(chunk) for chunk in chunks) == 2 * MIB
    output.close()

    path.write_bytes(b"x" * (2 * MIB))
    output = open_output(folder, "log", max_bytes=4 * MIB)
    chunks = output.chunks()
    next(chunks)
    os.truncate(path, MIB)
    with pytest.raises(NotKept, match="shorter"):
        list(chunks)
    output.close()


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_race_between_a_file_and_a_link_never_gives_the_secret(
    data: Path, folder: int, tmp_path: Path, way: str, what: str
) -> None:
    """A thread swaps what is read for a link to the host's file, thousands of times."""
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "name").write_bytes(SECRET)
    real, link = data / "real", data / "evil"
    if what == "file":
        real.write_bytes(b"own")
        link.symlink_to(tmp_path / "host" / "name")
        wanted = "target"
    else:
        real.mkdir()
        (real / "name").write_bytes(b"own")
        link.symlink_to(tmp_path / "host")
        wanted = "target/name"
    stop = threading.Event()
    swaps = 0

    def swap() -> None:
        nonlocal swaps
        target = data / "target"
        while not stop.is_set():
            real.rename(target)
            target.rename(real)
            link.rename(target)
            target.rename(link)
            swaps += 1

    swapper = threading.Thread(target=swap)
    swapper.start()
    got = {"own": 0, "refused": 0}
    try:
        while swaps < 3000 or not all(got.values()):
            snapshot(folder)
            try:
                content = read(folder, wanted)
            except NotKept:
                got["refused"] += 1
            else:
                assert content == b"own"
                got["own"] += 1
    finally:
        stop.set()
        swapper.join()


@pytest.mark.skipif(os.getuid() == 0, reason="root enters closed folders")
def test_a_folder_that_code_has_closed_is_opened_again(data: Path) -> None:
    data.chmod(0)
    with opened_folder(data) as folder:
        assert snapshot(folder).stamps == {}


# --- what is new --------------------------------------------------------------------------------


def test_a_snapshot_tells_what_is_new_changed_and_gone(data: Path, folder: int) -> None:
    for name in ("same", "changed", "gone"):
        (data / name).write_text(name)
        os.utime(data / name, (1, 1))
    before = snapshot(folder)
    (data / "changed").write_text("CHANGED")
    (data / "gone").unlink()
    (data / "out").mkdir()
    (data / "out" / "new").touch()
    for hidden in ("__pycache__", ".ipynb_checkpoints"):
        (data / hidden).mkdir()
        (data / hidden / "x.pyc").touch()
    (data / ".hidden").touch()
    after = snapshot(folder)
    assert sorted(after.changed_since(before)) == ["changed", "out/new"]
    assert after.gone_since(before) == ["gone"]
    assert snapshot(folder) == after


def test_links_and_pipes_are_seen_and_not_followed(
    data: Path, folder: int, tmp_path: Path, way: str
) -> None:
    plant(data, tmp_path)
    kinds = {path: stamp.kind for path, stamp in snapshot(folder).stamps.items()}
    assert kinds == {
        "link": "link",
        "through": "link",
        "magic": "link",
        "hard": "hard link",
        "pipe": "special",
        "socket": "special",
    }


def test_depth_and_number_are_bounded(data: Path, folder: int) -> None:
    deep = "/".join(["d"] * (MAX_DEPTH + 2))
    (data / deep).mkdir(parents=True)
    (data / deep / "far").touch()
    (data / "d" / "near").touch()
    found = snapshot(folder)
    assert list(found.stamps) == ["d/near"] and found.left_out == ("/".join(["d"] * MAX_DEPTH),)
    for number in range(50):
        (data / f"f{number}").touch()
    few = snapshot(folder, max_entries=20)
    assert len(few.stamps) <= 20 and "." in few.left_out


def test_a_path_that_is_too_long_is_said(data: Path, folder: int) -> None:
    parts = ["d" * 200] * 5
    (data / "/".join(parts)).mkdir(parents=True)
    (data / "/".join([*parts, "far"])).touch()
    found = snapshot(folder)
    assert found.stamps == {} and found.left_out == ("/".join(parts),)


def test_strange_names_are_found(data: Path, folder: int) -> None:
    names = [b"caf\xe9.csv", "naïve\n.txt".encode(), b"-rf *", b"x" * 255]
    for name in names:
        with open(os.fsencode(data) + b"/" + name, "wb") as file:
            file.write(name)
    found = snapshot(folder).stamps
    assert sorted(os.fsencode(path) for path in found) == sorted(names)
    for path in found:
        assert read(folder, path) == os.fsencode(path)
