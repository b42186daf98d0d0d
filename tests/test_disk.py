"""Files are there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from localassist.disk import copy_whole, existing, free_bytes, replacing, sha256_of, size


def test_a_file_whose_writing_fails_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "settings.toml"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(target) as file:
        file.write(b"new, but")
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    assert target.read_text() == "old"


def test_a_written_file_takes_its_name_and_its_rights(tmp_path: Path) -> None:
    target = tmp_path / "notes"
    with replacing(target, 0o640) as file:
        file.write(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o640


def test_a_copy_has_the_content_of_its_source(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(range(256)) * 10_000)
    copy_whole(source, tmp_path / "copy")
    assert sha256_of(tmp_path / "copy") == sha256_of(source)


def test_room_is_that_of_the_folder_which_will_hold_it(tmp_path: Path) -> None:
    assert existing(tmp_path / "a" / "b") == tmp_path
    assert free_bytes(tmp_path / "a" / "b") > 0
    assert existing(Path("not") / "there") == Path.cwd()


@pytest.mark.parametrize(
    ("size_bytes", "said"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_500_000, "1.5 MB"), (3e12, "3,000.0 GB")],
)
def test_sizes_for_people(size_bytes: float, said: str) -> None:
    assert size(size_bytes) == said
