"""For which machines a bundle is made: platform, Python, C library, processor.

Knows the names that pip, CMake and Linux have for them, and runs nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from localassist.errors import ConfigError

PLATFORMS = ("linux_x86_64", "linux_aarch64")
CPU_DEFAULT = "x86-64-v3"
GLIBC_DEFAULT = "2.31"
"""The oldest C library that all packages are published for: Debian 11, Ubuntu 20.04, RHEL 9."""

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
_V3_OPTIONS = ("AVX", "AVX2", "FMA", "F16C", "BMI2")
_OPTIONS = {
    "x86-64-v2": (),
    "x86-64-v3": _V3_OPTIONS,
    "x86-64-v4": (*_V3_OPTIONS, "AVX512"),
}
_ALL_OPTIONS = (*_V3_OPTIONS, "AVX_VNNI", "AVX512")
CPU_LEVELS = ("native", *CPU_FLAGS)

# What a build for one processor may use of it, so that another one must have it too.
_NATIVE = (
    *_V4, "amx_bf16", "amx_int8", "amx_tile", "avx512_bf16", "avx512_vbmi", "avx512_vnni",
    "avx512vbmi", "avx_vnni", "asimddp", "i8mm", "sve", "sve2",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """One kind of machine: ``linux_x86_64``, ``3.11``, ``2.31``."""

    platform: str
    python: str
    glibc: str = GLIBC_DEFAULT

    def __post_init__(self) -> None:
        if self.platform not in PLATFORMS:
            raise ConfigError(
                f"--platform {self.platform} is not one of {', '.join(PLATFORMS)}. Other systems "
                "install with pip; see docs/air_gapped.md."
            )
        if not _PYTHON.fullmatch(self.python):
            raise ConfigError(f"--python {self.python} is not a version such as 3.11.")
        if not re.fullmatch(r"2\.\d{1,2}", self.glibc):
            raise ConfigError(f"--glibc {self.glibc} is not a version such as 2.31.")

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
    if cpu == "native":
        return "-DGGML_NATIVE=ON -DCMAKE_CXX_FLAGS='-fno-dse -fno-tree-dse'"
    wanted = _OPTIONS[cpu]
    options = [f"-DGGML_{name}={'ON' if name in wanted else 'OFF'}" for name in _ALL_OPTIONS]
    return " ".join(["-DGGML_NATIVE=OFF", "-DGGML_SSE42=ON", *options])


def required_flags(cpu: str, here: frozenset[str]) -> tuple[str, ...]:
    """What a processor must be able to do to run a build for a level; ``here`` is what this one can
    do."""
    if cpu == "native":
        return tuple(sorted(here & set(_NATIVE)))
    return CPU_FLAGS.get(cpu, ())
