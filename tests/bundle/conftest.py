"""One bundle of tiny packages for all tests of a run; they copy what they change."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bundle.tiny import Tiny, prepare, unpack


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    with pytest.MonkeyPatch.context() as patch:
        yield prepare(tmp_path_factory.mktemp("tiny"), patch)


@pytest.fixture(scope="session")
def bundle(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole bundle. Not to be changed."""
    path = tmp_path_factory.mktemp("bundle") / "tiny.tar"
    tiny.create(path)
    return path


@pytest.fixture(scope="session")
def unpacked(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, unpacked. Not to be changed."""
    return unpack(bundle, tmp_path_factory.mktemp("unpacked"))


@pytest.fixture
def folder(unpacked: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(unpacked, tmp_path / unpacked.name))
