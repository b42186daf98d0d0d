"""The environment of kernels, built by pip from wheels with next to nothing in them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from localassist.errors import SandboxUnavailable
from localassist.sandbox import building, environment
from localassist.sandbox.building import build_environment
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.environment import MATPLOTLIB_CACHE, STAMP, is_current
from tests.sandbox.wheels import PACKAGES, make_wheel, pinned

Built = tuple[SandboxSettings, Path, list[str]]


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A guest side whose lock file is satisfied by the wheels that lie beside it."""
    folder = tmp_path_factory.mktemp("guest")
    (folder / "wheels").mkdir()
    wheels = [make_wheel(folder / "wheels", name, files) for name, files in PACKAGES.items()]
    (folder / "requirements.txt").write_text("".join(pinned(wheel) for wheel in wheels))
    further = {"further/__init__.py": "", "further/tests/needed.py": ""}
    further["further-1.0.data/scripts/tool"] = "#!python"
    make_wheel(folder / "wheels", "further", further)
    return folder


@pytest.fixture(scope="module", autouse=True)
def _small(guest: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "guest_folder", lambda: guest)
        patch.setattr(environment, "guest_folder", lambda: guest)
        yield


@pytest.fixture(scope="module")
def built(guest: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Settings, environment, and what was said while it was built."""
    home = tmp_path_factory.mktemp("home")
    folder = home / "kernels"
    leftover = home / "kernels.new" / "half"
    leftover.mkdir(parents=True)  # of a build that was killed
    said: list[str] = []
    settings = SandboxSettings(environment=folder, packages=("further",))
    old = os.umask(0o077)
    try:
        build_environment(settings, home, wheels=guest / "wheels", progress=said.append)
    finally:
        os.umask(old)
    return settings, folder, said


def installed(folder: Path) -> set[str]:
    (packages,) = folder.glob("lib/python*/site-packages")
    return {path.name for path in packages.iterdir() if path.suffix != ".dist-info"}


def test_what_is_pinned_and_wanted_is_installed_and_nothing_else(built: Built) -> None:
    assert installed(built[1]) == {*PACKAGES, "further"}


def test_the_python_of_the_environment_imports_it(built: Built) -> None:
    code = "import sys, ipykernel, further; print(sys.prefix)"
    done = subprocess.run([built[1] / "bin" / "python", "-I", "-c", code], capture_output=True)
    assert done.stdout.decode().strip() == str(built[1])


def test_tests_and_programs_are_left_out(built: Built) -> None:
    (packages,) = built[1].glob("lib/python*/site-packages")
    assert not (packages / "ipykernel" / "tests").exists()
    assert (packages / "numpy" / "core" / "tests").exists()
    assert (packages / "further" / "tests").exists()
    assert all(path.name.startswith("python") for path in (built[1] / "bin").iterdir())


def test_everything_is_compiled(built: Built) -> None:
    (packages,) = built[1].glob("lib/python*/site-packages")
    assert len(list((packages / "further" / "__pycache__").glob("__init__.*.pyc"))) == 1


def test_fonts_are_looked_up_once_and_not_those_of_the_user(built: Built) -> None:
    home = Path((built[1] / MATPLOTLIB_CACHE / "fontlist.json").read_text())
    assert home != Path.home() and not home.exists()


def test_any_user_may_read_it(built: Built) -> None:
    assert built[1].stat().st_mode & 0o055 == 0o055
    for path in built[1].rglob("*"):
        if not path.is_symlink():
            assert path.stat().st_mode & 0o044 == 0o044, path


def test_nothing_is_left_beside_it(built: Built) -> None:
    assert {path.name for path in built[1].parent.iterdir()} == {"kernels", "kernels.lock"}


def test_stages_are_told(built: Built) -> None:
    kinds = [stage.split()[0] for stage in built[2]]
    assert kinds[0] == "creating" and kinds[-2:] == ["compiling", "trying"]


def test_it_is_built_once(built: Built, tmp_path: Path) -> None:
    settings, folder, _ = built
    made_at = (folder / STAMP).stat().st_mtime_ns
    said: list[str] = []
    build_environment(settings, tmp_path, progress=said.append)
    assert said == [] and (folder / STAMP).stat().st_mtime_ns == made_at


def test_other_packages_make_it_stale(built: Built, tmp_path: Path) -> None:
    settings = built[0].model_copy(update={"packages": ()})
    assert is_current(built[0], tmp_path) and not is_current(settings, tmp_path)


def test_a_failed_build_says_why_and_leaves_what_was_there(
    built: Built, guest: Path, tmp_path: Path
) -> None:
    settings = built[0].model_copy(update={"packages": ("no-such-package",)})
    reason = "No matching distribution found for no-such-package"
    with pytest.raises(SandboxUnavailable, match=f"{reason}.*--from"):
        build_environment(settings, tmp_path, wheels=guest / "wheels")
    assert is_current(built[0], tmp_path)
    test_nothing_is_left_beside_it(built)


@pytest.mark.slow
def test_a_wheel_that_is_not_the_pinned_one_is_refused(guest: Path, tmp_path: Path) -> None:
    forged = tmp_path / "wheels"
    forged.mkdir()
    for name in PACKAGES:
        make_wheel(forged, name, {f"{name}/__init__.py": "import os"})
    settings = SandboxSettings(environment=tmp_path / "kernels")
    with pytest.raises(SandboxUnavailable, match="DO NOT MATCH THE HASHES"):
        build_environment(settings, tmp_path, wheels=forged)
    assert not (tmp_path / "kernels").exists()


@pytest.mark.slow
def test_an_index_that_is_not_reached_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nobody listens
    settings = SandboxSettings(environment=tmp_path / "kernels")
    with pytest.raises(SandboxUnavailable, match="index cannot be reached .No matching"):
        build_environment(settings, tmp_path)


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    with pytest.raises(SandboxUnavailable, match="not built by localassist"):
        build_environment(SandboxSettings(environment=tmp_path), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SandboxUnavailable, match=r"file.*(Not a directory|File exists)"):
        build_environment(SandboxSettings(environment=tmp_path / "file" / "kernels"), tmp_path)


def test_a_python_without_venv_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho apt install python3-venv; exit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "_base_executable", str(python))
    settings = SandboxSettings(environment=tmp_path / "kernels")
    with pytest.raises(SandboxUnavailable, match="not made: apt install python3-venv"):
        build_environment(settings, tmp_path)


def test_two_builds_are_made_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SandboxSettings(environment=tmp_path / "kernels")
    begun, may_end = threading.Event(), threading.Event()
    waits = threading.Event()
    builds: list[Path] = []

    def slow(settings: SandboxSettings, folder: Path, *_: object) -> None:
        builds.append(folder)
        begun.set()
        may_end.wait(30)

    def build(progress: building.Progress) -> None:
        with pytest.raises(SandboxUnavailable):  # nothing was made in the end
            build_environment(settings, tmp_path, progress=progress)

    monkeypatch.setattr(building, "_build", slow)
    first = threading.Thread(target=build, args=(lambda stage: None,))
    second = threading.Thread(target=build, args=(lambda stage: waits.set(),))
    first.start()
    assert begun.wait(30)
    second.start()
    assert waits.wait(30) and len(builds) == 1
    may_end.set()
    first.join(30)
    second.join(30)
    assert len(builds) == 2
