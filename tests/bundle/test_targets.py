"""Names that pip, CMake and Linux have for machines, and whether a bundle fits one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from localassist.bundle.machine import Machine, cpu_flags, fitting_target, misfits
from localassist.bundle.manifest import Manifest, PackedFile, TargetFacts, from_json, to_json
from localassist.bundle.targets import (
    CPU_FLAGS,
    Target,
    choose_targets,
    cmake_arguments,
    newest_glibc,
    required_flags,
    wheel_glibc,
)
from localassist.errors import BundleError, ConfigError

V3 = frozenset(CPU_FLAGS["x86-64-v3"])
MACHINE = Machine("linux_x86_64", "3.11", "2.36", V3 | {"amx_int8", "avx512f"})
FACTS = TargetFacts("linux_x86_64", "3.11", "r.txt", "2.34", "x86-64-v3", CPU_FLAGS["x86-64-v3"])


def test_wheels_of_older_systems_run_on_newer_ones() -> None:
    tags = Target("linux_x86_64", "3.11", "2.28").wheel_platforms()
    assert tags[0] == "manylinux_2_28_x86_64" and tags[-1] == "linux_x86_64"
    assert {"manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux1_x86_64"} <= set(tags)
    assert "manylinux_2_31_x86_64" not in tags
    arm = Target("linux_aarch64", "3.11").wheel_platforms()
    assert "manylinux1_aarch64" not in arm and "manylinux2014_aarch64" in arm


def test_what_is_not_said_is_the_platforms_default() -> None:
    here, arm = Target("linux_x86_64", "3.11"), Target("linux_aarch64", "3.11")
    assert (here.glibc, here.cpu) == ("2.31", "x86-64-v3")
    assert (arm.glibc, arm.cpu) == ("2.35", "armv8.2-a")


def test_each_platform_gets_the_level_that_is_its_own() -> None:
    platforms = ["linux_x86_64", "linux_aarch64"]
    both = choose_targets(platforms, ["3.11", "3.12"], "", ["armv8-a", "x86-64-v4"])
    assert [(target.platform, target.python, target.cpu) for target in both] == [
        ("linux_x86_64", "3.11", "x86-64-v4"),
        ("linux_x86_64", "3.12", "x86-64-v4"),
        ("linux_aarch64", "3.11", "armv8-a"),
        ("linux_aarch64", "3.12", "armv8-a"),
    ]
    (native,) = choose_targets(["linux_aarch64"], ["3.11"], "2.36", ["native"])
    assert (native.glibc, native.cpu) == ("2.36", "native")
    here, arm = choose_targets(platforms, ["3.11"], "", ["native", "armv8-a"])
    assert (here.cpu, arm.cpu) == ("native", "armv8-a")


@pytest.mark.parametrize(
    ("cpus", "why"),
    [
        (["x86-64-v3"], r"--cpu x86-64-v3 is not one of .*armv8-a"),
        (["armv8-a", "x86-64-v3"], r"--cpu x86-64-v3 is not one of .*armv8-a"),
        (["armv8-a", "armv8.2-a"], r"--cpu armv8.2-a is one too many"),
        (["native", "armv8-a"], r"--cpu native is one too many"),
    ],
)
def test_a_level_that_no_platform_can_use_is_refused(cpus: list[str], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        choose_targets(["linux_aarch64"], ["3.11"], "", cpus)


@pytest.mark.parametrize(
    ("platform", "python", "glibc"),
    [("win_amd64", "3.11", "2.31"), ("linux_x86_64", "3", "2.31"), ("linux_x86_64", "3.11", "x")],
)
def test_what_is_no_target_is_refused(platform: str, python: str, glibc: str) -> None:
    with pytest.raises(ConfigError, match="is not"):
        Target(platform, python, glibc)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("a-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", "2.17"),
        ("a-1-cp39-abi3-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl", "2.27"),
        ("a-1-py3-none-manylinux1_x86_64.whl", "2.5"),
        ("a-1-py3-none-any.whl", ""),
        ("a-1-py3-none-linux_x86_64.whl", ""),
    ],
)
def test_a_wheels_name_says_its_c_library(name: str, version: str) -> None:
    assert wheel_glibc(name) == version


def test_versions_are_compared_as_numbers() -> None:
    assert newest_glibc(["2.9", "2.31", "", "2.5"]) == "2.31" and newest_glibc([""]) == ""


def test_levels_of_processors_grow_and_native_is_what_is_here() -> None:
    v2, v3, v4 = (set(CPU_FLAGS[f"x86-64-v{n}"]) for n in (2, 3, 4))
    assert v2 < v3 < v4
    assert "-DGGML_AVX2=ON" in cmake_arguments("x86-64-v3")
    assert "-DGGML_AVX512=OFF" in cmake_arguments("x86-64-v3")
    assert "-DGGML_AVX=OFF" in cmake_arguments("x86-64-v2")
    assert all("GGML_NATIVE=OFF" in cmake_arguments(level) for level in CPU_FLAGS)
    assert "-fno-dse" in cmake_arguments("native")
    assert required_flags("native", frozenset({"amx_int8", "avx2", "rdtscp"})) == (
        "amx_int8",
        "avx2",
    )
    assert required_flags("x86-64-v3", frozenset()) == CPU_FLAGS["x86-64-v3"]
    assert "-DGGML_CPU_ARM_ARCH=armv8.2-a+dotprod" in cmake_arguments("armv8.2-a")
    assert "asimddp" in required_flags("armv8.2-a", frozenset())


def test_flags_are_read_as_linux_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text("processor\t: 0\nflags\t\t: fpu avx2\n\nprocessor\t: 1\nflags\t: none\n")
    assert cpu_flags(path) == {"fpu", "avx2"}
    assert cpu_flags(tmp_path / "none") == frozenset()


def test_a_machine_that_fits() -> None:
    assert misfits(FACTS, MACHINE) == []
    manifest = Manifest("0.1.0", 0, (FACTS,), ())
    assert fitting_target(manifest, MACHINE) == FACTS


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"platform": "linux_aarch64"}, "this machine is linux_aarch64"),
        ({"python": "3.13"}, "is for Python 3.11; this is 3.13"),
        ({"glibc": "2.31"}, "needs glibc 2.34 or newer, and this system has glibc 2.31"),
        ({"glibc": ""}, "this system has another C library"),
        ({"cpu_flags": V3 - {"avx2", "fma"}}, "compiled for x86-64-v3, .* lacks avx2, fma"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, object], said: str) -> None:
    machine = dataclasses.replace(MACHINE, **changes)  # type: ignore[arg-type]
    with pytest.raises(BundleError, match=said):
        fitting_target(Manifest("0.1.0", 0, (FACTS,), ()), machine)


def test_a_library_that_is_missing_is_named() -> None:
    facts = dataclasses.replace(FACTS, libraries=("libnothere.so.9",))
    assert "libnothere.so.9" in misfits(facts, MACHINE)[0]


def test_a_manifest_is_read_as_it_was_written() -> None:
    files = (PackedFile(FACTS.requirements, 1, "0" * 64),)
    manifest = Manifest("0.1.0", 7, (FACTS,), files, models=("a",), schema="0005")
    assert from_json(to_json(manifest)) == manifest


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"format": 1', '"format": 2', "made by a newer localassist"),
        ('"format": 1', '"formats": 1', "does not name its format"),
        ('"created_at": 7', '"created_at": "7"', "created_at is not of type int"),
        ('"schema"', '"shema"', "no field 'shema'"),
        ("{", "", "not JSON"),
        ('"files": []', '"files": [{"path": "../x", "size_bytes": 1, "sha256": ""}]', r"\.\./x"),
        ('"files": []', '"files": [{"path": "x"}]', "missing"),
        ('"files": []', '"files": "x"', "files is not a list"),
    ],
)
def test_a_manifest_that_was_changed_is_refused(old: str, new: str, said: str) -> None:
    text = to_json(Manifest("0.1.0", 7, (), (), schema="0005"))
    assert old in text
    with pytest.raises(BundleError, match=said):
        from_json(text.replace(old, new, 1))
