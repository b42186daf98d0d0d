"""Builds the environment of kernels, with pip, from pinned versions.

It is put together beside its place and then moved there, so what is in its place is complete. This
is the one part of localassist that downloads, and only when it is asked to. Only wheels are
installed: nothing that is downloaded runs while it is being installed.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from localassist.errors import SandboxUnavailable
from localassist.programs import run_program
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.environment import (
    MATPLOTLIB_CACHE,
    STAMP,
    Environment,
    contents,
    environment_folder,
    find_environment,
    is_current,
    is_foreign,
)
from localassist.sandbox.guest import guest_folder

Progress = Callable[[str], None]

_UMASK = 0o022  # kernels of a service that runs as root read the files as another user
_HASHES = re.compile(r"[ \\\n]+--hash=\S+")
_TRY_OUT = """
import os
os.makedirs(os.environ["MPLCONFIGDIR"])
import ipykernel, numpy, pandas, matplotlib.pyplot
"""
# numpy's tests are part of numpy.testing.
_KEEPS_ITS_TESTS = "numpy"


def build_environment(
    settings: SandboxSettings,
    home: Path,
    *,
    wheels: Path | None = None,
    progress: Progress = lambda stage: None,
) -> Environment:
    """Make the environment, unless it is there and up to date. Takes minutes. ``wheels`` is a
    folder to install from instead of a package index. ``progress`` gets what is being done, in a
    few words. Two processes do it one after the other. Raises SandboxUnavailable."""
    folder = environment_folder(settings, home)
    if is_foreign(folder):
        raise SandboxUnavailable(
            f"{folder} is not empty and was not built by localassist, so it is left alone. "
            "Choose another folder as sandbox.environment, or empty this one."
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _lock(folder.with_name(f"{folder.name}.lock"), progress):
            if not is_current(settings, home):
                _build(settings, folder, wheels, progress)
    except OSError as error:
        raise SandboxUnavailable(f"{error.filename or folder}: {error.strerror}.") from error
    return find_environment(settings, home)


@contextmanager
def _lock(path: Path, progress: Progress) -> Iterator[None]:
    """Waits for other processes. The lock ends with the process that holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another process that builds it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _build(
    settings: SandboxSettings, folder: Path, wheels: Path | None, progress: Progress
) -> None:
    new, old = (folder.with_name(f"{folder.name}.{suffix}") for suffix in ("new", "old"))
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        progress("creating the virtual environment")
        _create(new)
        _install(new, settings.packages, wheels, progress)
        progress("compiling")
        _run([_python(new), "-I", "-m", "compileall", "-q", "-j", "0", new / "lib"], check=False)
        progress("trying it out")
        _try_out(new)
        stamp = json.dumps(contents(settings), indent=2)
        (new / STAMP).write_text(f"{stamp}\n", encoding="utf-8")
        (new / STAMP).chmod(0o644)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    finally:
        for leftover in (new, old):
            shutil.rmtree(leftover, ignore_errors=True)


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"


def _create(folder: Path) -> None:
    # The real path of the interpreter: a link to it might lead to where a kernel cannot see.
    base = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    _run([base, "-I", "-m", "venv", folder], "The virtual environment was not made")


def _install(
    folder: Path, packages: Sequence[str], wheels: Path | None, progress: Progress
) -> None:
    """The pinned versions, then what the operator wants besides, which must go with them."""
    lock = guest_folder() / "requirements.txt"
    pip: list[str | Path] = [_python(folder), "-I", "-m", "pip"]
    install: list[str | Path] = [*pip, "install", "--only-binary", ":all:", "--no-compile"]
    install += ["--progress-bar", "off", "--retries", "2"]
    if wheels is not None:
        install += ["--no-index", "--find-links", wheels]
    _pip([*pip, "uninstall", "-y", "setuptools"], progress)
    _pip([*install, "-r", lock], progress)
    _leave_out_tests(folder)
    if packages:
        pins = folder / "pins.txt"
        pins.write_text(_HASHES.sub("", lock.read_text(encoding="utf-8")), encoding="utf-8")
        _pip([*install, "-c", pins, "--", *packages], progress)
        pins.unlink()
    # No kernel reaches an index, and programs to be started by hand name a path that is not theirs.
    _pip([*pip, "uninstall", "-y", "pip"], progress)
    for program in (folder / "bin").iterdir():
        if not program.name.startswith("python"):
            program.unlink()


def _pip(command: Sequence[str | Path], progress: Progress) -> None:
    """Run pip; what it says of each package is progress, what it says last is why it failed."""
    environ = {**os.environ, "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environ["PIP_ROOT_USER_ACTION"] = "ignore"

    def listen(line: str) -> None:
        if line.startswith("Collecting "):
            progress(f"fetching {line.split()[1].partition('==')[0]}")
        elif line.startswith("Installing collected packages"):
            progress("installing")

    done = run_program(command, environ, listen=listen, umask=_UMASK)
    if done.status:
        reason = " ".join(done.reason.rstrip(".").split())
        if "connection broken" in done.said:
            reason = f"the package index cannot be reached ({reason})"
        raise SandboxUnavailable(
            f"pip could not install the packages of kernels: {reason}. Without a network, install "
            f"from a folder of wheels with --from; see sandbox/README.md."
        )


def _leave_out_tests(folder: Path) -> None:
    """The packages' own tests, a fifth of everything. What an operator adds may need its own."""
    for packages in folder.glob("lib/python*/site-packages"):
        for path, folders, _ in os.walk(packages):
            if "tests" in folders and _KEEPS_ITS_TESTS not in Path(path).parts:
                shutil.rmtree(Path(path) / "tests")
                folders.remove("tests")


def _try_out(folder: Path) -> None:
    """Import what kernels import, which also finds the fonts, once for all kernels: those that a
    kernel sees too, so none of the user's own."""
    with tempfile.TemporaryDirectory() as nothing:
        environ = {"HOME": nothing, "PATH": os.defpath, "MPLBACKEND": "agg"}
        environ["MPLCONFIGDIR"] = str(folder / MATPLOTLIB_CACHE)
        _run([_python(folder), "-I", "-c", _TRY_OUT], "A package does not work here", environ)


def _run(
    command: Sequence[str | Path],
    what: str = "",
    environ: Mapping[str, str] | None = None,
    *,
    check: bool = True,
) -> None:
    done = run_program(command, environ, umask=_UMASK)
    if check and done.status:
        said = " ".join(done.said.split())
        raise SandboxUnavailable(f"{what}: {said[-1000:] or f'status {done.status}'}")
