"""Programs that the installer runs: Python's venv and pip, and what they have installed.

None of them reaches a network: pip has no index and reads no configuration. Standard library only.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from localassist.bundle.files import WHEELS
from localassist.bundle.manifest import TargetFacts
from localassist.errors import BundleError
from localassist.programs import run_program, tied

_TRY_LLAMA = """
import importlib.util
if importlib.util.find_spec("llama_cpp"):
    import llama_cpp
    llama_cpp.llama_backend_init()
    llama_cpp.llama_print_system_info()
"""
_SIGILL = -4


def environment(home: Path | None) -> dict[str, str]:
    """Ours, without what would steer Python or pip elsewhere."""
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().lstrip("_").startswith(("PIP_", "PYTHON", "VIRTUAL_ENV"))
    }
    environ.update(PIP_CONFIG_FILE=os.devnull, PIP_NO_INDEX="1", PIP_DISABLE_PIP_VERSION_CHECK="1")
    environ.update(PIP_NO_INPUT="1", PIP_ROOT_USER_ACTION="ignore")
    if home is not None:
        environ["LOCALASSIST_HOME"] = str(home)
    return environ


def make_environment(folder: Path) -> None:
    """An environment without pip: the bundle's own is used, which asks less of the system."""
    base = getattr(sys, "_base_executable", sys.executable)
    command = [base, "-I", "-m", "venv", "--without-pip", str(folder)]
    _check(command, "the virtual environment was not made", environment(None))


def install_packages(folder: Path, bundle: Path, target: TargetFacts) -> None:
    """Every package of the target, by its hash, from the bundle and nowhere else."""
    pip = next((bundle / WHEELS).glob("pip-*.whl"), None)
    if pip is None:
        raise BundleError(f"{bundle} brings no pip: no bundle of localassist is like that.")
    command = [str(folder / "bin" / "python"), "-I", str(pip / "pip"), "--isolated", "install"]
    command += ["--no-index", "--find-links", str(bundle / WHEELS), "--no-deps"]
    command += ["--require-hashes", "--only-binary", ":all:", "--progress-bar", "off", "-q"]
    command += ["-r", str(bundle / target.requirements)]
    _check(command, "pip could not install the packages", environment(None))


def try_out(folder: Path) -> None:
    """Start the program and llama.cpp once: a build for another processor ends here, not in the
    first answer."""
    command = [str(folder / "bin" / "localassist"), "--version"]
    _check(command, "what was installed does not start", environment(None))
    command = [str(folder / "bin" / "python"), "-I", "-c", _TRY_LLAMA]
    done = run_program(command, environment(None))
    if done.status == _SIGILL:
        raise BundleError(
            "llama.cpp was compiled for another processor than this one. Make a bundle with a "
            "lower --cpu on the connected machine."
        )
    if done.status:
        raise BundleError(f"llama.cpp does not start: {done.reason}")


def works(folder: Path) -> bool:
    """Whether an installed version still starts: the Python it was made with may be gone."""
    command = [str(folder / "bin" / "localassist"), "--version"]
    return run_program(command, environment(None)).status == 0


def run_localassist(folder: Path, arguments: Sequence[str], home: Path | None) -> int:
    """The installed program, with its output going where ours goes; its exit code."""
    command = tied([folder / "bin" / "localassist", *arguments])
    return subprocess.run(command, env=environment(home), stdin=subprocess.DEVNULL).returncode


def run_module(folder: Path, module: str, arguments: Sequence[str], home: Path | None) -> None:
    """A module of the version that is being installed. BundleError says what it said."""
    command = [str(folder / "bin" / "python"), "-I", "-m", module, *arguments]
    done = run_program(command, environment(home))
    if done.status:
        raise BundleError(done.reason)
    if text := done.said.strip():
        print(text, flush=True)


def _check(command: Sequence[str], what: str, environ: Mapping[str, str]) -> None:
    done = run_program(command, environ)
    if "No space left on device" in done.said:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if done.status:
        raise BundleError(f"{what}: {done.reason}")
