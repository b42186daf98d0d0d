"""For which machines a bundle is made: platform, Python, C library, processor.

Knows the names that pip, CMake and Linux have for them, and runs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from localassist.errors import ConfigError

GLIBC_DEFAULTS = {"linux_x86_64": "2.31", "linux_aarch64": "2.35"}
"""The oldest C library that all packages are published for, by platform: that of Debian 11, Ubuntu
20.04 and RHEL 9; that of Debian 12 and Ubuntu 22.04, since OpenVINO asks for it on ARM."""

_PYTHON = re.compile(r"3\.\d{2}")
_OLDEST_GLIBC = {"x86_64": 5, "aarch64": 17}
_ALIASES = {
    "x86_64": ("manylinux2014", "manylinux2010", "manylinux1"),
    "aarch64": ("manylinux2014",),
}
_TAG_GLIBC = {"manylinux2014": 17, "manylinux2010": 12, "manylinux1": 5}

# What each level adds, in the words of /proc/cpuinfo, and as llama.cpp's build calls it.
_V2 = ("cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3")
_V3 = (*_V2, "abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe")
_V4 = (*_V3, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")
CPU_FLAGS = {"x86-64-v2": _V2, "x86-64-v3": _V3, "x86-64-v4": _V4}
_ARM_FLAGS = {"armv8-a": ("asimd",), "armv8.2-a": ("asimd", "asimddp", "asimdhp", "fphp")}
_ARM_ARCHITECTURES = {"armv8-a": "armv8-a", "armv8.2-a": "armv8.2-a+dotprod+fp16"}
_V3_OPTIONS = ("AVX", "AVX2", "FMA", "F16C", "BMI2")
_OPTIONS = {
    "x86-64-v2": (),
    "x86-64-v3": _V3_OPTIONS,
    "x86-64-v4": (*_V3_OPTIONS, "AVX512"),
}
_ALL_OPTIONS = (*_V3_OPTIONS, "AVX_VNNI", "AVX512")
NATIVE = "native"
CPU_LEVELS = {
    "linux_x86_64": (NATIVE, *CPU_FLAGS),
    "linux_aarch64": (NATIVE, *_ARM_FLAGS),
}
CPU_DEFAULTS = {"linux_x86_64": "x86-64-v3", "linux_aarch64": "armv8.2-a"}

# What a build for one processor may use of it, so that another one must have it too.
_NATIVE = (
    *_V4, "amx_bf16", "amx_int8", "amx_tile", "avx512_bf16", "avx512_vbmi", "avx512_vnni",
    "avx512vbmi", "avx_vnni", "asimddp", "i8mm", "sve", "sve2",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """One kind of machine: ``linux_x86_64``, ``3.11``, ``2.31``, ``x86-64-v3``. Where the C library
    or the level of processors is not said, it is the platform's default."""

    platform: str
    python: str
    glibc: str = ""
    cpu: str = ""

    def __post_init__(self) -> None:
        if self.platform not in CPU_LEVELS:
            raise ConfigError(
                f"--platform {self.platform} is not one of {', '.join(CPU_LEVELS)}. Other systems "
                "install with pip; see docs/air_gapped.md."
            )
        object.__setattr__(self, "glibc", self.glibc or GLIBC_DEFAULTS[self.platform])
        object.__setattr__(self, "cpu", self.cpu or CPU_DEFAULTS[self.platform])
        if not _PYTHON.fullmatch(self.python):
            raise ConfigError(f"--python {self.python} is not a version such as 3.11.")
        if not re.fullmatch(r"2\.\d{1,2}", self.glibc):
            raise ConfigError(f"--glibc {self.glibc} is not a version such as 2.31.")
        if self.cpu not in CPU_LEVELS[self.platform]:
            levels = ", ".join(CPU_LEVELS[self.platform])
            raise ConfigError(f"--cpu {self.cpu} is not one of {levels} ({self.platform}).")

    @property
    def architecture(self) -> str:
        return self.platform.partition("_")[2]

    @property
    def name(self) -> str:
        return f"{self.platform}-py{self.python}"

    def wheel_platforms(self) -> list[str]:
        """The platforms of wheels that run there, in the words of pip, newest first."""
        newest = int(self.glibc.partition(".")[2])
        machine = self.architecture
        tags = [f"manylinux_2_{n}" for n in range(newest, _OLDEST_GLIBC[machine] - 1, -1)]
        tags += [tag for tag in _ALIASES[machine] if _TAG_GLIBC[tag] <= newest]
        return [f"{tag}_{machine}" for tag in [*tags, "linux"]]

    def marker_values(self, patch: int = 0) -> dict[str, str]:
        """What a machine of this kind, with this patch release of Python, answers to the conditions
        that requirements have."""
        full = f"{self.python}.{patch}"
        return {
            "implementation_name": "cpython",
            "implementation_version": full,
            "os_name": "posix",
            "platform_machine": self.architecture,
            "platform_python_implementation": "CPython",
            "platform_system": "Linux",
            "python_full_version": full,
            "python_version": self.python,
            "sys_platform": "linux",
        }


def choose_targets(
    platforms: Sequence[str], pythons: Sequence[str], glibc: str, cpus: Sequence[str]
) -> tuple[Target, ...]:
    """Every platform with every Python, each with the level of processors that is asked for it.
    ConfigError where a level is none of any of the platforms, or one too many."""
    known = {level for platform in platforms for level in CPU_LEVELS.get(platform, ())}
    foreign = [level for level in cpus if level not in known]

    def cpu_of(platform: str) -> str:
        fitting = [level for level in cpus if level in CPU_LEVELS.get(platform, ())]
        own = [level for level in fitting if level != NATIVE]  # which may be meant for another one
        return (foreign + own + fitting + [""])[0]

    targets = tuple(
        Target(platform, python, glibc, cpu_of(platform))
        for platform in dict.fromkeys(platforms)
        for python in dict.fromkeys(pythons)
    )
    used = {target.cpu for target in targets}
    if spare := [level for level in cpus if level not in used]:
        raise ConfigError(
            f"--cpu {spare[0]} is one too many: llama.cpp is compiled once for each --platform."
        )
    return targets


def wheel_glibc(filename: str) -> str:
    """The oldest C library that a wheel asks for, as its name says; empty where it says none."""
    tags = filename.removesuffix(".whl").rpartition("-")[2].split(".")
    asked = []
    for tag in tags:
        if found := re.match(r"manylinux_2_(\d+)_", tag):
            asked.append(int(found[1]))
        elif found := re.match(r"(manylinux\d+)_", tag):
            asked.append(_TAG_GLIBC[found[1]])
    return f"2.{min(asked)}" if asked else ""


def newest_glibc(versions: list[str]) -> str:
    """The newest of several versions, empty without one."""
    known = [version for version in versions if version]
    return max(known, key=lambda text: [int(n) for n in text.split(".")], default="")


def cmake_arguments(cpu: str) -> str:
    """How llama.cpp is compiled for a level, in the words of ``CMAKE_ARGS``.

    ``native`` keeps AMX alive where gcc would drop its configuration as a dead store
    (llama.cpp#20824); the levels use no AMX.
    """
    if cpu == NATIVE:
        return "-DGGML_NATIVE=ON -DCMAKE_CXX_FLAGS='-fno-dse -fno-tree-dse'"
    if cpu in _ARM_ARCHITECTURES:
        return f"-DGGML_NATIVE=OFF -DGGML_CPU_ARM_ARCH={_ARM_ARCHITECTURES[cpu]}"
    wanted = _OPTIONS[cpu]
    options = [f"-DGGML_{name}={'ON' if name in wanted else 'OFF'}" for name in _ALL_OPTIONS]
    return " ".join(["-DGGML_NATIVE=OFF", "-DGGML_SSE42=ON", *options])


def required_flags(cpu: str, here: frozenset[str]) -> tuple[str, ...]:
    """What a processor must be able to do to run a build for a level; ``here`` is what this one can
    do."""
    if cpu == NATIVE:
        return tuple(sorted(here & set(_NATIVE)))
    return {**CPU_FLAGS, **_ARM_FLAGS}.get(cpu, ())
