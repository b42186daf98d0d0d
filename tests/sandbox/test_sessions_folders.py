"""Folders of kernels: made for one, removed whatever is in them, swept after a service is gone."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from localassist.sandbox.session_folders import SessionFolders
from localassist.sandbox.tree_removal import remove_tree


def test_a_folder_is_there_for_one_kernel_and_then_gone(tmp_path: Path) -> None:
    folders = SessionFolders(tmp_path)
    one, two = folders.create(None), folders.create(None)
    assert one.path != two.path
    assert {path.stat().st_mode & 0o777 for path in (one.path, one.box, one.data)} == {0o700}
    assert folders.sweep() == 0  # both are in use
    one.remove()
    one.remove()
    assert not one.path.exists() and two.data.is_dir()
    two.remove()


def test_whatever_code_leaves_is_removed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    folder = tmp_path / "folder"
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    for _ in range(3000):  # deeper than paths, stacks and descriptors reach
        os.mkdir("d", dir_fd=descriptor)
        below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
        os.close(os.open("file", os.O_CREAT, dir_fd=descriptor))
    os.close(descriptor)
    (folder / "link").symlink_to(outside)
    (folder / "d" / "link").symlink_to(outside)
    (folder / ".moved-1").mkdir()
    (folder / ".moved-1" / "full").touch()
    (folder / ".moved-2").touch()
    (folder / "closed" / "below").mkdir(parents=True)
    (folder / "closed" / "below").chmod(0)
    (folder / "closed").chmod(0)
    os.mkdir(os.fsencode(folder) + b"/\xff\n")
    os.mkfifo(folder / "fifo")
    remove_tree(folder)
    assert not folder.exists() and (outside / "kept").exists()
    remove_tree(folder)
    (tmp_path / "link").symlink_to(outside)
    remove_tree(tmp_path / "link")
    assert not (tmp_path / "link").is_symlink() and (outside / "kept").exists()


KILLED = """
import os, subprocess, sys
from pathlib import Path
from localassist.sandbox.session_folders import SessionFolders
folder = SessionFolders(Path(sys.argv[1])).create(None)
kernel = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL, start_new_session=True)
folder.record([kernel.pid, os.getpid()])
(folder.data / "written").touch()
print(kernel.pid, flush=True)
sys.stdin.read()
"""


def test_what_a_killed_service_leaves_is_swept(tmp_path: Path) -> None:
    folders = SessionFolders(tmp_path)
    assert folders.sweep() == 0
    ours = folders.create(None)
    service = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert service.stdout is not None
    kernel = os.pidfd_open(int(service.stdout.readline()))
    try:
        assert folders.sweep() == 0  # it lives
        service.kill()
        service.communicate()
        # A number that has gone to another process is not enough.
        (left,) = (path for path in ours.path.parent.glob("*/") if path != ours.path)
        record = left / "processes"
        record.write_text(record.read_text() + f"{os.getpid()} 1\n")
        assert folders.sweep() == 1
        assert not left.exists() and ours.path.exists()
        ended = select.poll()
        ended.register(kernel, select.POLLIN)
        assert ended.poll(20_000)
    finally:
        os.close(kernel)
        ours.remove()


def test_a_sandbox_that_was_half_made_is_swept(tmp_path: Path) -> None:
    """It is not in the record yet; its arguments tell whose it is."""
    left = tmp_path / "sandbox" / "sessions" / "0123456789abcdef"
    (left / "data").mkdir(parents=True)
    command = "import ctypes, sys; ctypes.CDLL(None).prctl(15, b'bwrap'); print(flush=True)"
    waiting = [sys.executable, "-c", f"{command}; sys.stdin.read()"]
    processes = [
        subprocess.Popen([*waiting, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for path in (left / "data", tmp_path / "sandbox" / "sessions" / "another" / "data")
    ]
    try:
        for process in processes:
            assert process.stdout is not None and process.stdout.readline()
        assert SessionFolders(tmp_path).sweep() == 1
        assert processes[0].wait(20) == -signal.SIGKILL
        assert processes[1].poll() is None
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_a_damaged_record_is_no_obstacle(tmp_path: Path) -> None:
    folders = SessionFolders(tmp_path)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    damaged = ["", "nonsense", "a\nb c d\n", "\xff", f"{boot}1 x\n\n", f"{boot}{os.getpid()}"]
    for number, text in enumerate(damaged):
        left = tmp_path / "sandbox" / "sessions" / str(number)
        left.mkdir(parents=True)
        (left / "processes").write_text(text, encoding="latin-1")
    (tmp_path / "sandbox" / "sessions" / "empty").mkdir()
    assert folders.sweep() == 7
    assert [path.name for path in (tmp_path / "sandbox" / "sessions").iterdir()] == ["lock"]
