"""Folders of work that is under way, and of work that was killed."""

from __future__ import annotations

from pathlib import Path

from localassist.archive.workspace import PREFIX, workspace


def test_what_a_killed_process_left_goes_and_what_is_used_stays(tmp_path: Path) -> None:
    left = tmp_path / f"{PREFIX}killed"
    left.mkdir()
    for name in ("lock", "objects"):
        (left / name).write_bytes(b"")
    with workspace(tmp_path) as used, workspace(tmp_path) as mine:
        assert sorted(tmp_path.iterdir()) == sorted([used, mine])
    assert not list(tmp_path.iterdir())


def test_a_folder_that_goes_while_it_is_looked_at(tmp_path: Path) -> None:
    """As a link that leads nowhere it is found, and not there."""
    gone = tmp_path / f"{PREFIX}gone"
    gone.symlink_to(tmp_path / "nowhere")
    with workspace(tmp_path) as mine:
        assert sorted(tmp_path.iterdir()) == sorted([gone, mine])
