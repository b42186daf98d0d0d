"""Bundles of tiny packages: real pip, real wheels, real virtual environments, no network.

The wheel of localassist has its real bundle code, which the installer runs, and a command that only
says what it was asked for.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

import localassist
from localassist.bundle import plan as planning
from localassist.bundle.create import create
from localassist.bundle.own_wheel import write_wheel
from localassist.bundle.plan import Plan, Request, make_plan
from localassist.bundle.targets import Target
from localassist.bundle.verify import Verified

PACKAGE = Path(localassist.__file__).parent
HERE = ".".join(map(str, sys.version_info[:2]))
LLAMA = "def llama_backend_init(): pass\ndef llama_print_system_info(): return b''\n"
COMMAND = """
import os, pathlib, sys

def main():
    asked = sys.argv[1:]
    if asked[:2] == ["sandbox", "build"]:
        folder = pathlib.Path(sys.prefix, "share", "localassist", "kernel")
        folder.mkdir(parents=True)
        (folder / "built-from").write_text(asked[3])
    print("asked:", *asked, "home:", os.environ.get("LOCALASSIST_HOME"))
    sys.exit(1 if "doctor" in asked and os.environ.get("TINY_DOCTOR_FAILS") else 0)
"""


def write_tiny(
    folder: Path,
    name: str,
    version: str,
    files: dict[str, str] | None = None,
    *,
    requires: tuple[str, ...] = (),
    tag: str = "py3-none-any",
    script: str | None = None,
    python: str = ">=3.10",
) -> Path:
    """A wheel."""
    info = f"{name}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", "License: MIT"]
    lines += [f"Requires-Python: {python}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    head = f"Wheel-Version: 1.0\nGenerator: tiny\nRoot-Is-Purelib: true\nTag: {tag}\n"
    content = {path: text.encode() for path, text in (files or {f"{name}.py": ""}).items()}
    content[f"{info}/METADATA"] = ("\n".join(lines) + "\n").encode()
    content[f"{info}/WHEEL"] = head.encode()
    content[f"{info}/licenses/LICENSE"] = f"The licence of {name}.\n".encode()
    if script is not None:
        content[f"{info}/entry_points.txt"] = f"[console_scripts]\n{script}\n".encode()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-{tag}.whl"
    write_wheel(path, info, content)
    return path


def write_own(folder: Path) -> Path:
    names = ("__init__.py", "disk.py", "errors.py", "lazy.py", "programs.py")
    paths = [PACKAGE / name for name in names]
    paths += (PACKAGE / "bundle").rglob("*.py")
    files = {
        str(path.relative_to(PACKAGE.parent)): path.read_text(encoding="utf-8") for path in paths
    }
    files["localassist/__main__.py"] = COMMAND
    return write_tiny(
        folder,
        "localassist",
        localassist.__version__,
        files,
        requires=("torch", "llama-cpp-python", "tiny", 'elsewhere; python_version < "3.10"'),
        script="localassist = localassist.__main__:main",
    )


@dataclass(frozen=True)
class Tiny:
    """Wheels to make bundles of."""

    folder: Path
    plans: dict[object, Plan] = field(default_factory=dict)

    @property
    def wheels(self) -> Path:
        return self.folder / "given"

    @property
    def own(self) -> Path:
        return self.folder / "own" / f"localassist-{localassist.__version__}-py3-none-any.whl"

    def request(self, out: Path, **changes: object) -> Request:
        values: dict[str, object] = {
            "out": out,
            "targets": (Target("linux_x86_64", HERE),),
            "wheels": (self.wheels,),
            "torch_index": "",
            **changes,
        }
        return Request(**values)  # type: ignore[arg-type]

    def plan(self, out: Path, **changes: object) -> Plan:
        """The plan for a request. pip is asked once for what does not change its answer."""
        request = self.request(out, **changes)
        asked = (request.targets, request.wheels, request.with_kernel)
        if asked not in self.plans:
            self.plans[asked] = make_plan(request, self.own, self.folder / "cache", _silent)
        return replace(self.plans[asked], request=request)

    def create(self, out: Path, **changes: object) -> Verified:
        return make(self.plan(out, **changes), self.own, self.folder / "cache")


def make(plan: Plan, own: Path, cache: Path) -> Verified:
    return create(plan, own, cache, say=_silent, on_item=_silent, on_bytes=lambda count: None)


def prepare(folder: Path, patch: pytest.MonkeyPatch) -> Tiny:
    """Wheels for this machine and for another, and pip without an index."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        patch.delenv(name)
    patch.setenv("PIP_NO_INDEX", "1")
    patch.setenv("PIP_CONFIG_FILE", os.devnull)
    given = folder / "given"
    for machine in ("x86_64", "aarch64"):
        tag = f"py3-none-linux_{machine}"
        version = planning.pinned_version("llama-cpp-python")
        write_tiny(given, "llama_cpp_python", version, {"llama_cpp.py": LLAMA}, tag=tag)
    write_tiny(given, "torch", f"{planning.pinned_version('torch')}+cpu")
    write_tiny(given, "tiny", "1.0")
    kernel = write_tiny(given, "tinykernel", "2.0")
    sha256 = hashlib.sha256(kernel.read_bytes()).hexdigest()
    guest = folder / "guest"
    guest.mkdir()
    (guest / "requirements.txt").write_text(f"tinykernel==2.0 --hash=sha256:{sha256}\n")
    patch.setattr(planning, "guest_folder", lambda: guest)
    write_own(folder / "own")
    return Tiny(folder)


def unpack(bundle: Path, folder: Path) -> Path:
    """The one folder in a bundle."""
    with tarfile.open(bundle) as tar:
        tar.extractall(folder)
    (top,) = folder.iterdir()
    return top


def install(
    bundle: Path, prefix: Path, *arguments: str, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``install.sh`` of an unpacked bundle with the Python that runs the tests."""
    return subprocess.run(
        command(bundle, prefix, *arguments),
        env={**os.environ, **(environ or {})},
        capture_output=True,
        text=True,
    )


def command(bundle: Path, prefix: Path, *arguments: str) -> list[str]:
    chosen = ["--python", sys.executable, "--prefix", str(prefix)]
    return [str(bundle / "install.sh"), *chosen, *arguments]


def _silent(_text: str) -> None:
    pass
