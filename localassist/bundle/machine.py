"""Does a bundle fit this machine? What it is, against what the bundle was made for.

Standard library only: the installer asks this before anything is installed.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from localassist.bundle.manifest import Manifest, TargetFacts
from localassist.errors import BundleError

CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Machine:
    """``platform`` is spelled as in wheels, ``python`` is the version's first two numbers,
    ``glibc`` the version of the C library, empty where it is another one."""

    platform: str
    python: str
    glibc: str
    cpu_flags: frozenset[str]


def this_machine() -> Machine:
    system = platform.system().lower()
    python = ".".join(map(str, sys.version_info[:2]))
    return Machine(f"{system}_{platform.machine()}", python, _glibc(), cpu_flags())


def cpu_flags(cpuinfo: Path = CPUINFO) -> frozenset[str]:
    """What the processor can do, in the words of Linux; empty where the system does not say."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def fitting_target(manifest: Manifest, machine: Machine) -> TargetFacts:
    """The part of the bundle for this machine. BundleError names everything that does not fit."""
    of_platform = [t for t in manifest.targets if t.platform == machine.platform]
    if not of_platform:
        made_for = ", ".join(sorted({t.platform for t in manifest.targets}))
        raise BundleError(f"The bundle is for {made_for}; this machine is {machine.platform}.")
    target = next((t for t in of_platform if t.python == machine.python), None)
    if target is None:
        made_for = " or ".join(t.python for t in of_platform)
        raise BundleError(
            f"The bundle is for Python {made_for}; this is {machine.python} ({sys.executable}). "
            "Name a fitting one: ./install.sh --python PATH"
        )
    if reasons := list(misfits(target, machine)):
        raise BundleError(f"The bundle does not fit this machine: {'; '.join(reasons)}.")
    return target


def misfits(target: TargetFacts, machine: Machine) -> list[str]:
    """What the machine lacks of what the target needs."""
    reasons = []
    if target.glibc and _version(machine.glibc) < _version(target.glibc):
        has = f"glibc {machine.glibc}" if machine.glibc else "another C library"
        reasons.append(f"it needs glibc {target.glibc} or newer, and this system has {has}")
    lacking = [flag for flag in target.cpu_flags if flag not in machine.cpu_flags]
    if lacking and machine.cpu_flags:
        reasons.append(
            f"its llama.cpp was compiled for {target.cpu}, and this processor lacks "
            f"{', '.join(lacking)} (make one with a lower --cpu)"
        )
    missing = [name for name in target.libraries if not _can_load(name)]
    if missing:
        reasons.append(
            f"llama.cpp needs {' and '.join(missing)} of the system "
            "(Debian: libgomp1 libstdc++6, Fedora: libgomp libstdc++)"
        )
    return reasons


def _glibc() -> str:
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (AttributeError, OSError, ValueError):
        return ""
    return version if name == "glibc" else ""


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def _can_load(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
