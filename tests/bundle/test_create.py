"""What goes into a bundle, what is refused before, and what an interruption leaves."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from localassist.bundle import create as creating
from localassist.bundle.create import check_space, group_sizes
from localassist.bundle.machine import this_machine
from localassist.bundle.own_wheel import repack
from localassist.bundle.pip import PipFailed, resolve
from localassist.bundle.plan import pinned_version
from localassist.bundle.targets import Target
from localassist.bundle.verify import verify
from localassist.errors import BundleError
from tests.bundle.tiny import HERE, Tiny, make, unpack, write_tiny


def wheels(plan: Any, group: str = "wheels") -> set[str]:
    return {item.filename for item in plan.items(group)}


def test_the_plan_has_what_is_needed_and_its_sizes(tiny: Tiny, tmp_path: Path) -> None:
    plan = tiny.plan(tmp_path / "b.tar")
    assert {name.partition("-")[0] for name in wheels(plan)} == {
        "llama_cpp_python", "localassist", "tiny", "torch",
    }  # fmt: skip
    assert wheels(plan, "kernel") == {"tinykernel-2.0-py3-none-any.whl"}
    sizes = {group.name: group for group in group_sizes(plan)}
    assert sizes["packages"].count == 4 and sizes["packages"].is_complete
    files = [tiny.wheels / name for name in wheels(plan) if not name.startswith("localassist")]
    expected = sum(path.stat().st_size for path in files) + tiny.own.stat().st_size
    assert sizes["packages"].size_bytes == expected


@pytest.mark.slow
def test_conditions_are_answered_for_the_target(tiny: Tiny, tmp_path: Path) -> None:
    """Those of the package itself, which names no such requirement for the Pythons of here."""
    given = tmp_path / "given"
    shutil.copytree(tiny.wheels, given)
    older, other = "tomli; python_version < '3.11'", "arm; platform_machine == 'aarch64'"
    late = "late; python_full_version >= '3.11.4'"
    write_tiny(given, "tiny", "1.1", requires=(older, other, late))
    write_tiny(given, "tomli", pinned_version("tomli"))
    write_tiny(given, "late", "1.0")
    write_tiny(given, "arm", "1.0", python=">=3.12")
    found = {}
    for target in (
        Target("linux_x86_64", "3.10"),
        Target("linux_x86_64", "3.11"),
        Target("linux_aarch64", "3.12"),
    ):
        plan = tiny.plan(
            tmp_path / f"{target.name}.tar", wheels=(given,), targets=(target,), with_kernel=False
        )
        names = {name.partition("-")[0] for name in wheels(plan)}
        found[target.python] = names & {"tomli", "arm", "late"}
    assert found == {"3.10": {"tomli"}, "3.11": {"late"}, "3.12": {"arm", "late"}}


@pytest.mark.slow
def test_one_bundle_for_several_pythons_and_platforms(tiny: Tiny, tmp_path: Path) -> None:
    targets = tuple(
        Target(platform, python)
        for platform in ("linux_x86_64", "linux_aarch64")
        for python in (HERE, "3.99")
    )
    bundle = tmp_path / "several.tar"
    verified = tiny.create(bundle, targets=targets, with_kernel=False)
    assert [(t.platform, t.python) for t in verified.manifest.targets] == [
        (target.platform, target.python) for target in targets
    ]
    folder = unpack(bundle, tmp_path / "several")
    assert folder.name.endswith("-linux_aarch64+linux_x86_64")
    for target in verified.manifest.targets:
        text = (folder / target.requirements).read_text()
        assert text.count("--hash=sha256:") == 4
        assert not (folder / "wheels").joinpath("tomli").exists()


def test_llama_for_another_platform_must_be_given(tiny: Tiny, tmp_path: Path) -> None:
    given = tmp_path / "given"
    shutil.copytree(tiny.wheels, given)
    for wheel in given.glob("llama*aarch64.whl"):
        wheel.unlink()
    arm = Target("linux_aarch64", HERE)
    with pytest.raises(BundleError, match=r"for linux_aarch64 is missing.*--wheels"):
        tiny.plan(tmp_path / "b.tar", wheels=(given,), targets=(arm,))


@pytest.mark.slow
def test_a_package_that_cannot_be_had_is_named(tiny: Tiny, tmp_path: Path) -> None:
    given = tmp_path / "given"
    shutil.copytree(tiny.wheels, given)
    (given / "tiny-1.0-py3-none-any.whl").unlink()
    with pytest.raises(BundleError, match="No matching distribution found for tiny"):
        tiny.plan(tmp_path / "b.tar", wheels=(given,))


def test_a_tested_version_that_cannot_be_had_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip speaks of a conflict then, and says with what only when it is not quiet."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    write_tiny(tmp_path, "tiny", "1.0")
    top = write_tiny(tmp_path, "top", "1.0", requires=("tiny",))
    pins = tmp_path / "pins.txt"
    pins.write_text("tiny==2.0\n")
    arguments = ["-c", str(pins), "--find-links", str(tmp_path), str(top)]
    with pytest.raises(PipFailed, match=r"top 1\.0 depends on tiny; .*tiny==2\.0") as caught:
        resolve(Target("linux_aarch64", "3.12"), arguments)
    assert caught.value.missing == "tiny==2.0"


@pytest.mark.slow
def test_a_pytorch_for_graphics_cards_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    given = tmp_path / "given"
    shutil.copytree(tiny.wheels, given)
    version = f"{pinned_version('torch')}+cpu"
    write_tiny(given, "torch", version, requires=("nvidia-cublas",))
    write_tiny(given, "nvidia_cublas", "1.0")
    with pytest.raises(BundleError, match=r"graphics cards.*--torch-index"):
        tiny.plan(tmp_path / "b.tar", wheels=(given,))


def test_an_interrupted_bundle_is_taken_up_again(tiny: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "b.tar"
    plan = tiny.plan(out)
    seen: list[str] = []

    def interrupt(name: str) -> None:
        seen.append(name)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        creating.create(
            plan, tiny.own, tmp_path, say=str, on_item=interrupt, on_bytes=lambda count: None
        )
    assert not out.exists()
    kept = {path.name: path.stat().st_ino for path in (plan.request.part / "wheels").iterdir()}
    assert set(seen) == set(kept)
    damaged, *whole = seen
    (plan.request.part / "wheels" / damaged).write_bytes(b"half")
    again = tiny.plan(out)
    inodes: dict[str, int] = {}

    def note(name: str) -> None:
        path = again.request.part / "wheels" / name
        inodes[name] = path.stat().st_ino if path.exists() else 0

    creating.create(again, tiny.own, tmp_path, say=str, on_item=note, on_bytes=lambda count: None)
    assert {name: inodes[name] for name in whole} == {name: kept[name] for name in whole}
    assert inodes[damaged] != kept[damaged]
    verify(out)
    assert not again.request.part.exists()


def test_a_full_disk_keeps_what_is_complete(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "b.tar"
    plan = tiny.plan(out)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(creating.TarWriter, "end", full)
        with pytest.raises(BundleError, match=r"disk is full.*b\.tar\.part"):
            make(plan, tiny.own, tmp_path)
    assert not out.exists() and any((plan.request.part / "wheels").iterdir())
    make(tiny.plan(out), tiny.own, tmp_path)
    verify(out)


def test_space_is_looked_for_first(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = tiny.plan(tmp_path / "b.tar")
    check_space(plan)
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(BundleError, match=r"1\.0 MB free"):
        check_space(plan)


def test_extra_files_licences_and_pages_come_along(tiny: Tiny, tmp_path: Path) -> None:
    package = tmp_path / "bubblewrap.deb"
    package.write_bytes(b"deb")
    tiny.create(tmp_path / "b.tar", extra=(package,))
    folder = unpack(tmp_path / "b.tar", tmp_path / "b")
    assert (folder / "extra" / "bubblewrap.deb").read_bytes() == b"deb"
    assert "The licence of tiny." in (folder / "licences" / "tiny-1.0.txt").read_text()
    assert (folder / "docs" / "air_gapped.md").is_file()


def test_the_installers_code_needs_only_the_standard_library(tiny: Tiny) -> None:
    code = "import localassist.bundle.install.main, sys; print(*sys.modules)"
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        f"import sys; sys.path.insert(0, {str(tiny.own)!r})\n{code}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "localassist.bundle.install.main" in done.stdout and "pydantic" not in done.stdout


@pytest.mark.slow
def test_an_installed_package_is_packed_as_it_was(tmp_path: Path) -> None:
    from importlib import metadata

    wheel = repack(metadata.distribution("typer"), tmp_path)
    folder = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--target", folder]
    subprocess.run([*pip, wheel], check=True, capture_output=True)
    installed = Path(__import__("typer").__file__).read_bytes()
    assert (folder / "typer" / "__init__.py").read_bytes() == installed
    assert zipfile.ZipFile(wheel).testzip() is None
    (found,) = metadata.distributions(path=[str(folder)])
    (folder / "typer" / "main.py").write_text("changed")
    with pytest.raises(BundleError, match=r"main\.py was changed"):
        repack(found, tmp_path)


def test_this_machine_is_one_that_bundles_are_made_for() -> None:
    assert Target(this_machine().platform, this_machine().python)
