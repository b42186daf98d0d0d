"""Processor, threads, memory, models, packages: what is said of machines that are not this one."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from localassist.engine import tuning
from localassist.engine.passes import CHUNK, SEVERAL, SINGLE, Pass
from localassist.registry.catalog import Catalog
from localassist.services.checkup import Finding, data_folder, examining, machine, models, packages
from localassist.settings import Settings, load_settings
from tests.registry.test_given import embedder_folder

GIB = 2**30


def settings(home: Path, **sections: dict[str, Any]) -> Settings:
    return load_settings(home, environ={}, **sections)


def one(found: Iterator[Finding]) -> Finding:
    (finding,) = found
    return finding


def cpuinfo(folder: Path, flags: str) -> Path:
    path = folder / "cpuinfo"
    path.write_text(f"model name\t: Some  Processor\nflags\t\t: fpu sse2 {flags}\n")
    return path


@pytest.mark.parametrize(
    ("flags", "survives", "status", "says"),
    [
        ("avx2 avx512f amx_int8", None, "ok", "AMX: not tried yet"),
        ("avx2 avx512f amx_int8", True, "ok", "AMX: tried, and used."),
        ("avx2 avx512f amx_int8", False, "warning", "AMX: crashed when tried"),
        ("avx2", False, "ok", "No AMX; other repacked weights: crashed"),
    ],
)
def test_the_verdict_on_amx(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: str,
    survives: bool | None,
    status: str,
    says: str,
) -> None:
    known = tuning.Remembered(None, survives)
    monkeypatch.setattr(machine, "_remembered", lambda settings: known)
    found = one(machine.processor(settings(tmp_path), cpuinfo(tmp_path, flags)))
    assert found.status == status and any(line.startswith(says) for line in found.says)
    assert (found.fix is not None) == (status == "warning")


def test_amx_by_setting(tmp_path: Path) -> None:
    off = settings(tmp_path, engine={"use_extra_buffers": "off"})
    found = one(machine.processor(off, cpuinfo(tmp_path, "avx2 amx_int8")))
    assert found.says[-1] == "AMX: off by engine.use_extra_buffers."


def test_an_old_processor_is_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    found = one(machine.processor(settings(tmp_path), cpuinfo(tmp_path, "avx")))
    assert found.status == "warning" and "AVX2" in found.says[0]


@pytest.mark.model
def test_threads_are_those_that_were_measured(tmp_path: Path) -> None:
    """What a load would go by, read back without one."""
    wanted = settings(tmp_path)
    assert "until a model's first load has measured" in one(machine.threads(wanted)).says[0]
    catalog = Catalog(tmp_path)
    path = catalog.locate(catalog.default("chat"))
    from localassist.engine.llama.library import runtime_fingerprint

    memory = tuning._Memory(tmp_path / "cache", runtime_fingerprint(path), path, wanted.engine)
    times = {1: 1.0, 2: 0.5}
    for share, is_told in ((0.5, True), (1.0, False)):
        passes = tuple(
            Pass(rows, threads, seconds, share)
            for rows in (SINGLE, SEVERAL, CHUNK)
            for threads, seconds in times.items()
        )
        memory.remember(tuning._Record(1, passes))
        says = one(machine.threads(wanted)).says[0]
        assert says.startswith("2 for single rows, 2 for several")
        assert ("a later load measures again" in says) == is_told
    memory.remember_survival(False)
    assert tuning.remembered(wanted.engine, path, tmp_path / "cache").survives is False


def test_more_threads_than_cores(tmp_path: Path) -> None:
    found = one(machine.threads(settings(tmp_path, engine={"threads": 999, "batch_threads": 1})))
    assert found.status == "warning"


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    none = resource.RLIM_INFINITY
    given = {resource.RLIMIT_NOFILE: (256, 4096), resource.RLIMIT_AS: (none, none)}
    monkeypatch.setattr(resource, "getrlimit", given.__getitem__)
    found = one(machine.limits(settings(tmp_path)))
    assert found.status == "warning" and found.says[0].startswith("Only 256 open files")
    given[resource.RLIMIT_AS] = (4 * GIB, none)
    assert one(machine.limits(settings(tmp_path))).fix == "ulimit -v unlimited"


@pytest.mark.parametrize(
    ("compiler", "is_built", "status"),
    [
        ("no-such-compiler", True, "unused"),
        ("no-such-compiler", False, "failed"),
        ("true", 1, "ok"),
    ],
)
def test_a_compiler_is_wanted_until_llama_cpp_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiler: str, is_built: bool, status: str
) -> None:
    monkeypatch.setenv("CXX", compiler)
    found = object() if is_built else None
    monkeypatch.setattr("importlib.util.find_spec", lambda name: found)
    assert one(machine.compiler(settings(tmp_path))).status == status


@pytest.mark.parametrize(
    ("free", "total", "engine", "status"),
    [
        (16 * GIB, 16 * GIB, {}, "ok"),
        (GIB // 2, 16 * GIB, {}, "warning"),
        (GIB // 10, GIB // 10, {}, "failed"),
        (16 * GIB, 16 * GIB, {"memory_budget_mb": 100}, "failed"),
    ],
)
def test_memory_for_the_default_model(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    free: int,
    total: int,
    engine: dict[str, Any],
    status: str,
) -> None:
    monkeypatch.setattr(models, "free_memory_bytes", lambda: free)
    monkeypatch.setattr(models, "machine_memory_bytes", lambda: total)
    monkeypatch.setattr("localassist.engine.footprint.machine_memory_bytes", lambda: total)
    found = one(models.memory(settings(tmp_path, engine=engine)))
    assert found.status == status and (found.fix is None) == (status == "ok")


MANIFEST = """
id = "mine"
kind = "chat"
sha256 = "{sha256}"
size_bytes = 10
[source]
path = "{path}"
"""


@pytest.mark.parametrize("default", [True, False])
@pytest.mark.parametrize("content", [None, b"short"])
def test_weights_that_are_gone_or_cut(tmp_path: Path, content: bytes | None, default: bool) -> None:
    weights = tmp_path / "mine.gguf"
    if content is not None:
        weights.write_bytes(content)
    (tmp_path / "models").mkdir()
    manifest = MANIFEST.format(sha256="0" * 64, path=weights)
    (tmp_path / "models" / "mine.toml").write_text(manifest)
    chosen = settings(tmp_path, models={"default_chat": "mine"} if default else {})
    found = one(models.models(chosen))
    assert found.status == ("failed" if default else "warning")
    assert found.says[0].startswith("mine: ") and found.fix is not None


@pytest.mark.parametrize("content", [None, b'{"version": "1.0", "mod'])
def test_an_added_embedder_without_its_tokenizer(tmp_path: Path, content: bytes | None) -> None:
    folder = embedder_folder(tmp_path / "mine")
    Catalog(tmp_path / "home").add(folder)
    assert one(models.models(settings(tmp_path / "home"))).status == "ok"
    tokenizer = folder / "tokenizer.json"
    tokenizer.unlink()
    if content is not None:
        tokenizer.write_bytes(content)
    found = one(models.models(settings(tmp_path / "home")))
    assert found.status == "warning" and found.says[0].startswith("mine: ")
    assert "tokenizer.json; copy or download its whole folder again" in found.says[0]


def test_weights_are_hashed_by_the_first_load_and_not_here(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    assert "not hashed yet: all-minilm" in one(models.models(settings(tmp_path))).says[1]
    assert list(tmp_path.iterdir()) == []
    for model in catalog.list():
        catalog.locate(model)
    assert "checksums are right" in one(models.models(settings(tmp_path))).says[1]


def test_packages_as_tested_newer_older_and_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {"alembic": "1.20.1", "Jinja2": "3.1.6"}
    needed = ["alembic>=1.14", "Jinja2>=3.1.6", "tomli>=2; python_version < '3'", "x; extra == 'y'"]

    def version(name: str) -> str:
        if name not in there:
            raise metadata.PackageNotFoundError
        return there[name]

    monkeypatch.setattr(packages, "requires", lambda name: needed)
    monkeypatch.setattr(packages, "version", version)
    monkeypatch.setattr(
        packages, "tested_versions", lambda: {"alembic": "1.20.1", "jinja2": "3.1.6"}
    )
    look: Callable[[], Finding] = lambda: one(packages.packages(settings(tmp_path)))  # noqa: E731
    assert look().status == "ok" and "all of the tested versions" in look().says[0]
    there["Jinja2"] = "3.2"
    assert look().status == "warning" and look().says[1] == "Jinja2 3.2 (tested: 3.1.6)."
    there["alembic"] = "1.13"
    assert look().status == "failed" and "alembic 1.13 (needs >=1.14)" in look().says[0]
    del there["Jinja2"]
    assert look().status == "failed" and look().says[0] == "Missing: Jinja2."


def test_the_tested_versions_are_those_for_this_python() -> None:
    tested = packages.tested_versions()
    assert len(tested) > 100 and tested["sqlalchemy"][0].isdigit()


def test_folders_others_may_look_into(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o755)
    found = one(data_folder.data_folder(settings(tmp_path / "home")))
    assert found.status == "warning" and found.fix == f"chmod 700 {tmp_path / 'home'}"
    (tmp_path / "home").chmod(0o700)
    assert one(data_folder.data_folder(settings(tmp_path / "home"))).status == "ok"


def test_folders_on_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    place = str(tmp_path).replace(" ", "\\040")
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nhost:/x {place} nfs4 rw 0 0\ntmpfs /tmp/x tmpfs\n")
    assert data_folder.file_system(tmp_path / "deep" / "er", mounts) == "nfs4"
    assert data_folder.file_system(Path("/usr"), mounts) == "ext4"
    tmp_path.chmod(0o700)
    monkeypatch.setattr(data_folder, "file_system", lambda home: "nfs4")
    assert one(data_folder.data_folder(settings(tmp_path))).status == "warning"


def test_a_check_that_breaks_is_a_finding_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> Iterator[Finding]:
        yield Finding("limits", "ok", ("So far.",))
        raise RuntimeError("out of order")

    monkeypatch.setattr(machine, "limits", broken)
    checks = (
        ("limits", "machine.limits"),
        ("gone", "no_such_module.x"),
        ("disk", "data_folder.disk"),
    )
    monkeypatch.setattr(examining, "_CHECKS", checks)
    monkeypatch.setattr(examining, "_OTHERS_NAMED", "machine.no_such_check")
    found = list(examining.examine(settings(tmp_path)))
    assert [each.status for each in found] == ["ok", "failed", "failed", "ok", "failed"]
    assert found[1].says == ("This could not be looked at: RuntimeError: out of order.",)


def test_what_breaks_several_checks_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "x.toml").write_text("id =")
    found = {each.name: each for each in examining.examine(settings(tmp_path))}
    assert found["models"].status == "failed" and "not valid TOML" in found["models"].says[0]
    assert found["memory"].status == "unused"
    assert found["processor"].status == "ok" and found["threads"].status == "ok"


def test_a_library_that_does_not_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert one(machine.llama_cpp(settings(tmp_path))).status == "ok"
    monkeypatch.setitem(sys.modules, "localassist.engine.llama.library", None)
    found = one(machine.llama_cpp(settings(tmp_path)))
    assert found.status == "failed" and found.fix is not None
    assert one(machine.processor(settings(tmp_path))).says[-1].endswith("not known.")
