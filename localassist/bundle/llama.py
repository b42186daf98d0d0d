"""llama-cpp-python for a bundle: compiled here for a level of processors, or given.

What pip has compiled for this machine before must not be taken: it uses whatever this processor
can do. A compiled wheel is kept, by version and flags, for the next bundle.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from localassist.bundle.own_wheel import write_stub
from localassist.bundle.pip import PipFailed, build
from localassist.bundle.targets import Target, cmake_arguments
from localassist.errors import BundleError

NAME = "llama_cpp_python"
_PACKAGE = "llama-cpp-python"


def given_wheel(folders: tuple[Path, ...], platform: str, version: str) -> Path | None:
    """The wheel among those that were given, None where it is not there."""
    tail = platform.partition("_")[2]
    for folder in folders:
        for path in sorted(folder.glob(f"{NAME}-{version}-*.whl")):
            if path.stem.endswith(f"_{tail}") and "linux" in path.stem:
                return path
    return None


def check_can_be_had(target: Target, here: str, version: str) -> None:
    """BundleError that says how to get the wheel of a platform that is not this one."""
    if target.platform != here:
        raise BundleError(
            f"{_PACKAGE} {version} for {target.platform} is missing: it has to be compiled on such "
            f'a machine. There: CMAKE_ARGS="{cmake_arguments(target.cpu)}" pip wheel --no-deps '
            f"--no-cache-dir --no-binary {_PACKAGE} -w wheels {_PACKAGE}=={version}; then give "
            "that folder here: --wheels wheels"
        )


def kept_wheel(cache: Path, version: str, cpu: str) -> Path | None:
    """One that was compiled for an earlier bundle."""
    return next(iter(sorted(_place(cache, version, cpu).glob("*.whl"))), None)


def compile_wheel(cache: Path, version: str, cpu: str, say: Callable[[str], None]) -> Path:
    """Compile it, which takes minutes, unless it was kept. Raises BundleError that names a file
    with all that the compiler said."""
    place = _place(cache, version, cpu)
    place.mkdir(parents=True, exist_ok=True)
    with _locked(place / ".lock"):
        if found := kept_wheel(cache, version, cpu):
            return found
        for left in place.glob("new-*"):  # by a call that was killed
            shutil.rmtree(left)
        _check_compiler()
        say(f"compiling llama.cpp for {cpu}; this takes some minutes once")
        with tempfile.TemporaryDirectory(prefix="new-", dir=place) as new:
            source = ["--no-cache-dir", "--no-binary", _PACKAGE]
            requirement = f"{_PACKAGE}=={version}"
            try:
                build(requirement, Path(new), source, cmake_arguments(cpu))
            except PipFailed as error:
                log = place / "failed.log"
                log.write_text(error.said, encoding="utf-8")
                raise BundleError(f"{error.message} All that was said is in {log}.") from error
            (wheel,) = Path(new).glob("*.whl")
            os.replace(wheel, place / wheel.name)
    return place / wheel.name


def stub(version: str, folder: Path) -> Path:
    """A wheel without content that requires what llama-cpp-python does."""
    requires = [r for r in metadata.requires(_PACKAGE) or [] if "extra ==" not in r]
    return write_stub(NAME, version, requires, folder)


def _place(cache: Path, version: str, cpu: str) -> Path:
    flags = hashlib.sha256(cmake_arguments(cpu).encode()).hexdigest()[:12]
    return cache / f"{NAME}-{version}-{cpu}-{flags}"


def _check_compiler() -> None:
    if not (shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++")):
        raise BundleError(
            "llama.cpp has to be compiled, and there is no C++ compiler (Debian: build-essential, "
            "Fedora: gcc-c++). A wheel from elsewhere can be given with --wheels."
        )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
