"""Where the environment of kernels is, and whether it can be used."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from localassist.errors import SandboxUnavailable
from localassist.sandbox import environment
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.environment import environment_folder, find_environment, is_current
from localassist.sandbox.guest import guest_folder

UNSET = SandboxSettings()


def an_environment(folder: Path, home: str = "/opt/python/bin") -> Path:
    """What is looked at of an environment."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    (folder / "pyvenv.cfg").write_text(f"version = 3.11.7\nhome = {home}\n")
    package = folder / "lib" / "python3.11" / "site-packages" / "ipykernel"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    return folder


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This Python, as if it were a virtual environment there."""
    folder = tmp_path / "venv"
    folder.mkdir()
    monkeypatch.setattr(sys, "prefix", str(folder))
    return folder


def test_a_folder_that_is_set_wins(tmp_path: Path, prefix: Path) -> None:
    settings = SandboxSettings(environment=Path("~/kernels"))
    assert environment_folder(settings, tmp_path) == Path.home() / "kernels"


def test_it_is_beside_the_packages_of_a_virtual_environment(tmp_path: Path, prefix: Path) -> None:
    assert environment_folder(UNSET, tmp_path) == prefix / "share/localassist/kernel"


def test_it_is_in_the_data_folder_without_a_virtual_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    assert environment_folder(UNSET, tmp_path) == tmp_path / "sandbox" / "environment"


def test_one_that_another_user_has_built_is_used(
    tmp_path: Path, prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment.os, "access", lambda path, mode: False)
    assert environment_folder(UNSET, tmp_path) == tmp_path / "sandbox" / "environment"
    built = an_environment(prefix / "share/localassist/kernel")
    assert environment_folder(UNSET, tmp_path) == built


def test_an_environment_is_found_with_the_python_it_was_made_from(tmp_path: Path) -> None:
    folder = an_environment(tmp_path / "kernels")
    found = find_environment(SandboxSettings(environment=folder), tmp_path)
    assert (found.folder, found.python) == (folder, folder / "bin" / "python")
    assert found.python_base == Path("/opt/python")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    settings = SandboxSettings(environment=tmp_path / "kernels")
    with pytest.raises(SandboxUnavailable, match=r"no environment yet .*localassist sandbox build"):
        find_environment(settings, tmp_path)
    folder = an_environment(tmp_path / "kernels")
    (folder / "pyvenv.cfg").write_text("version = 3.11.7\n")
    with pytest.raises(SandboxUnavailable, match="does not name its Python"):
        find_environment(settings, tmp_path)
    (folder / "lib/python3.11/site-packages/ipykernel/__init__.py").unlink()
    with pytest.raises(SandboxUnavailable, match="ipykernel is not installed"):
        find_environment(settings, tmp_path)
    (folder / "bin" / "python").unlink()
    (folder / "bin" / "python").symlink_to(tmp_path / "gone")
    with pytest.raises(SandboxUnavailable, match="the Python it leads to is gone"):
        find_environment(settings, tmp_path)


def test_an_environment_of_the_operators_own_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = an_environment(tmp_path / "kernels")
    settings = SandboxSettings(environment=folder, packages=("something",))
    assert is_current(settings, tmp_path)
    (folder / environment.STAMP).write_text("{}")
    assert not is_current(settings, tmp_path)


def test_everything_that_is_wanted_is_pinned_with_hashes() -> None:
    lock = (guest_folder() / "requirements.txt").read_text()
    pins = re.findall(r"^([a-z0-9-]+)==\S+(?: ;[^\\\n]*)? \\\n    --hash=sha256:", lock, re.M)
    assert len(pins) == len(re.findall(r"^[a-z]", lock, re.M))
    wanted = (guest_folder() / "requirements.in").read_text().split()
    assert len(wanted) > 20 and set(wanted) <= set(pins)
