"""Makes a bundle from its plan: fetches, compiles, lists, signs, packs, and checks what it packed.

All work is done in a folder beside the bundle, which is kept when anything stops it: the next call
goes on from what is complete. The bundle takes its name in one step, last of all.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import localassist
from localassist import clock
from localassist.bundle import llama
from localassist.bundle.fetch import fetch
from localassist.bundle.files import (
    DOCS,
    EXTRA,
    INSTALL_PY,
    INSTALL_SH,
    KERNEL,
    LICENCES,
    MANIFEST,
    SIGNATURE,
    SUMS,
    WHEELS,
    to_sums,
)
from localassist.bundle.machine import cpu_flags
from localassist.bundle.manifest import Licence, Manifest, PackedFile, TargetFacts, to_json
from localassist.bundle.own_wheel import repack
from localassist.bundle.plan import Item, Plan, Request, Say, TargetPlan, pinned_version
from localassist.bundle.signature import sign
from localassist.bundle.tar import TarWriter
from localassist.bundle.targets import newest_glibc, required_flags
from localassist.bundle.verify import Verified, verify
from localassist.bundle.wheels import (
    installed_bytes,
    licence_of,
    licence_text,
    metadata_of,
    needed_glibc,
    needed_libraries,
)
from localassist.disk import free_bytes, is_full, sha256_of, size
from localassist.errors import BundleError
from localassist.storage.revisions import newest_revision

OnBytes = Callable[[int], None]

_PACKAGE = Path(localassist.__file__).resolve().parent
_COMPILED_BYTES = 25_000_000
_SPARE_BYTES = 100_000_000


@dataclass(frozen=True, slots=True)
class GroupSize:
    """What a group will take. ``is_complete`` False: some sizes are not known."""

    name: str
    count: int
    size_bytes: int
    is_complete: bool = True


def group_sizes(plan: Plan) -> list[GroupSize]:
    """What the bundle will hold, by group, before it is fetched."""
    request = plan.request
    groups = [_wheel_group("packages", plan.items(WHEELS))]
    if request.with_kernel:
        groups.append(_wheel_group("code interpreter", plan.items(KERNEL)))
    weights = [path.stat().st_size for model in request.models for path in model.weights]
    pages = [path.stat().st_size for path in _pages()]
    groups += [
        GroupSize("models", len(weights), sum(weights)),
        GroupSize("docs", len(pages), sum(pages)),
    ]
    if request.extra:
        sizes = [path.stat().st_size for path in request.extra]
        groups.append(GroupSize("extra", len(sizes), sum(sizes)))
    return groups


def _wheel_group(name: str, items: Sequence[Item]) -> GroupSize:
    sizes = [_COMPILED_BYTES if not item.url else item.size_bytes for item in items]
    known = [size for size in sizes if size is not None]
    return GroupSize(name, len(items), sum(known), len(known) == len(sizes))


def check_space(plan: Plan) -> None:
    """BundleError where what is left to fetch, and the bundle besides, will not fit."""
    total = sum(group.size_bytes for group in group_sizes(plan))
    there = sum(path.stat().st_size for path in plan.request.part.rglob("*") if path.is_file())
    needed = 2 * total - min(there, total) + _SPARE_BYTES
    free = free_bytes(plan.request.out.parent)
    if free < needed:
        raise BundleError(
            f"{plan.request.out.parent} has {size(free)} free; making the bundle takes about "
            f"{size(needed)} there."
        )


def create(
    plan: Plan, own_wheel: Path, cache: Path, *, say: Say, on_item: Say, on_bytes: OnBytes
) -> Verified:
    """Make the bundle. ``on_item`` gets the name of each wheel that is there, ``on_bytes`` what was
    written of the tar. Raises BundleError; whatever stops it, ``plan.request.part`` is kept."""
    request = plan.request
    try:
        staged = _Staged(request.part)
        compiled = _compile(plan, cache, say)
        targets = [_stage_target(staged, t, own_wheel, compiled, on_item) for t in plan.targets]
        plan = dataclasses.replace(plan, targets=tuple(targets))
        _stage_rest(staged, request)
        facts = tuple(_facts(staged, target) for target in plan.targets)
        licences = [*_licences(staged), *_model_licences(request)]
        manifest = _manifest(staged, facts, tuple(licences), request)
        say("packing")
        packed = _pack(staged, manifest, request, on_bytes)
        verified = verify(packed)
        os.replace(packed, request.out)
    except OSError as error:
        if not is_full(error):
            where = error.filename or request.out
            raise BundleError(f"{where} cannot be written: {error.strerror}.") from error
        raise BundleError(
            f"The disk is full. What is complete is kept in {request.part}: make room and call "
            "again, and it goes on from there."
        ) from error
    shutil.rmtree(request.part, ignore_errors=True)
    return verified


class _Staged:
    """The files of the bundle by their paths in it, and where they lie now."""

    def __init__(self, part: Path) -> None:
        self.part = part
        self.files: dict[str, Path] = {}

    def put(self, path: str, source: Path) -> Path:
        self.files[path] = source
        return source

    def write(self, path: str, text: str) -> Path:
        target = self.part / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        return self.put(path, target)

    def wheels(self) -> Iterator[Path]:
        for path, source in self.files.items():
            if path.endswith(".whl"):
                yield source


def _stage_target(
    staged: _Staged, plan: TargetPlan, own_wheel: Path, compiled: Path | None, on_item: Say
) -> TargetPlan:
    """Every wheel of the target, and the list that pip will install it from."""
    wheels, kernel = staged.part / WHEELS, staged.part / KERNEL
    packages = []
    for item in plan.packages:
        made_here = compiled if not item.url else own_wheel if item.name == "localassist" else None
        packages.append(item if made_here is None else _from_file(item, made_here))

    def done(item: Item) -> None:
        on_item(item.filename)

    fetch(plan.target, packages, wheels, done)
    fetch(plan.target, plan.kernel, kernel, done)
    for item in packages:
        staged.put(f"{WHEELS}/{item.filename}", wheels / item.filename)
    for item in plan.kernel:
        staged.put(f"{KERNEL}/{item.filename}", kernel / item.filename)
    return dataclasses.replace(plan, packages=tuple(packages))


def _facts(staged: _Staged, plan: TargetPlan) -> TargetFacts:
    wheels = [staged.files[f"{WHEELS}/{item.filename}"] for item in plan.packages]
    kernel = [staged.files[f"{KERNEL}/{item.filename}"] for item in plan.kernel]
    lines = [
        f"{item.name}=={item.version} --hash=sha256:{item.sha256 or sha256_of(path)}\n"
        for item, path in zip(plan.packages, wheels, strict=True)
    ]
    requirements = f"requirements-{plan.target.name}.txt"
    staged.write(requirements, "".join(sorted(lines)))
    llama_wheel = next((path for path in wheels if path.name.startswith(llama.NAME)), None)
    return TargetFacts(
        platform=plan.target.platform,
        python=plan.target.python,
        requirements=requirements,
        glibc=newest_glibc([needed_glibc(path) for path in (*wheels, *kernel)]),
        cpu=plan.target.cpu,
        cpu_flags=required_flags(plan.target.cpu, cpu_flags()),
        libraries=needed_libraries(llama_wheel) if llama_wheel else (),
        has_kernel=bool(kernel),
        installed_bytes=sum(installed_bytes(path) for path in wheels),
        kernel_bytes=sum(installed_bytes(path) for path in kernel),
    )


def to_be_compiled(plan: Plan) -> str:
    """The level of processors for which llama.cpp is still to be compiled, empty where it is there:
    only one can be, that of this platform."""
    waiting = (t for t in plan.targets for item in t.packages if not item.url)
    return next((t.target.cpu for t in waiting), "")


def _compile(plan: Plan, cache: Path, say: Say) -> Path | None:
    """llama.cpp, where a target's wheel of it is still to be compiled: one serves every Python."""
    level = to_be_compiled(plan)
    if not level:
        return None
    return llama.compile_wheel(cache, pinned_version("llama-cpp-python"), level, say)


def _from_file(item: Item, wheel: Path) -> Item:
    return dataclasses.replace(
        item, filename=wheel.name, url=wheel.as_uri(), sha256=sha256_of(wheel)
    )


def _stage_rest(staged: _Staged, request: Request) -> None:
    scripts = Path(__file__).parent / "scripts"
    staged.put(INSTALL_SH, scripts / INSTALL_SH)
    staged.put(INSTALL_PY, scripts / INSTALL_PY)
    pip = repack(metadata.distribution("pip"), staged.part / "own")
    staged.put(f"{WHEELS}/{pip.name}", pip)
    for page in _pages():
        staged.put(f"{DOCS}/{page.relative_to(_PACKAGE / 'docs').as_posix()}", page)
    for model in request.models:
        for path, source in model.files().items():
            staged.put(path, source)
        staged.write(model.manifest_path, model.manifest_text())
    for source in request.extra:
        staged.put(f"{EXTRA}/{source.name}", source)


def _pages() -> list[Path]:
    return sorted(path for path in (_PACKAGE / "docs").rglob("*") if path.is_file())


def _licences(staged: _Staged) -> Iterator[Licence]:
    for wheel in sorted(staged.wheels(), key=lambda path: path.name):
        fields = metadata_of(wheel)
        name, version = str(fields["name"]), str(fields["version"])
        path = f"{LICENCES}/{name}-{version}.txt"
        text = licence_text(wheel)
        if text and path not in staged.files:
            staged.write(path, text)
        files = (path,) if path in staged.files else ()
        yield Licence(name, version, licence_of(fields), files)


def _model_licences(request: Request) -> Iterator[Licence]:
    for model in request.models:
        yield Licence(model.manifest.id, "", model.manifest.licence)


def _manifest(
    staged: _Staged,
    facts: tuple[TargetFacts, ...],
    licences: tuple[Licence, ...],
    request: Request,
) -> Manifest:
    files = tuple(
        PackedFile(path, source.stat().st_size, sha256_of(source))
        for path, source in sorted(staged.files.items())
    )
    return Manifest(
        localassist=localassist.__version__,
        created_at=clock.now(),
        targets=facts,
        files=files,
        licences=tuple(dict.fromkeys(licences)),
        models=tuple(model.manifest.id for model in request.models),
        schema=newest_revision(),
        is_signed=request.key is not None,
    )


def _pack(staged: _Staged, manifest: Manifest, request: Request, on_bytes: OnBytes) -> Path:
    """The tar in the work folder: the sums first, then what they list, in their order."""
    text = to_json(manifest)
    about = staged.part / MANIFEST
    about.write_text(text, encoding="utf-8")
    hashes = {MANIFEST: sha256_of(about)} | {file.path: file.sha256 for file in manifest.files}
    sums = staged.part / SUMS
    sums.write_text(to_sums(hashes), encoding="utf-8")
    first = [(SUMS, sums), (MANIFEST, about)]
    if request.key is not None:
        first.insert(1, (SIGNATURE, sign(sums, request.key)))
    packed = staged.part / "bundle.tar"
    with packed.open("wb") as out:
        writer = TarWriter(out, top_folder(manifest), manifest.created_at)
        for path, source in [*first, *((f.path, staged.files[f.path]) for f in manifest.files)]:
            writer.add(path, source, is_program=path == INSTALL_SH, on_bytes=on_bytes)
        writer.end()
        out.flush()
        os.fsync(out.fileno())
    return packed


def top_folder(manifest: Manifest) -> str:
    """The one folder in a bundle, named after what it is for."""
    platforms = "+".join(sorted({target.platform for target in manifest.targets}))
    return f"localassist-{manifest.localassist}-{platforms}"
