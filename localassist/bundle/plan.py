"""What a bundle will hold, and how large it will be, before anything large is fetched."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from localassist.bundle import llama
from localassist.bundle.files import WHEELS
from localassist.bundle.machine import this_machine
from localassist.bundle.models import PackedModel
from localassist.bundle.own_wheel import constraints_file
from localassist.bundle.pip import NEWEST_PATCH, PipFailed, Resolved, build, resolve
from localassist.bundle.sizes import ask_sizes
from localassist.bundle.targets import Target
from localassist.errors import BundleError
from localassist.sandbox.guest import guest_folder

Say = Callable[[str], None]

TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
"""Where builds of PyTorch without CUDA are, asked only when pip's own indexes have none."""

_PATCH = "python_full_version"
_CUDA = re.compile(r"nvidia-|triton|cuda-")
_PIN = re.compile(r"([A-Za-z0-9._-]+)==([^\s;]+)(.*)")


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for. ``wheels`` are folders of wheels to take before all others."""

    out: Path
    targets: tuple[Target, ...]
    with_kernel: bool = True
    models: tuple[PackedModel, ...] = ()
    wheels: tuple[Path, ...] = ()
    extra: tuple[Path, ...] = ()
    key: Path | None = None
    torch_index: str = TORCH_INDEX

    @property
    def part(self) -> Path:
        """The work folder, which an interrupted call leaves for the next."""
        return self.out.with_name(f"{self.out.name}.part")


@dataclass(frozen=True, slots=True)
class Item:
    """One wheel to be packed. ``url`` is empty for llama.cpp where it is still to be compiled;
    ``index`` is the additional index it comes from."""

    name: str
    version: str
    filename: str
    url: str
    sha256: str
    metadata: Mapping[str, Any] = field(repr=False)
    size_bytes: int | None = None
    index: str = ""


@dataclass(frozen=True, slots=True)
class TargetPlan:
    target: Target
    packages: tuple[Item, ...]
    kernel: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    request: Request
    targets: tuple[TargetPlan, ...]

    def items(self, group: str) -> list[Item]:
        """The wheels of a group, each once, whichever targets need it."""
        found: dict[str, Item] = {}
        for target in self.targets:
            for item in target.packages if group == WHEELS else target.kernel:
                found.setdefault(item.filename, item)
        return list(found.values())


def make_plan(request: Request, own_wheel: Path, cache: Path, say: Say) -> Plan:
    """Ask pip which wheels the targets need, and their servers how large they are. Raises
    BundleError that names what cannot be had."""
    version = pinned_version("llama-cpp-python")
    plans = []
    for target in request.targets:
        say(f"resolving the packages for {target.platform}, Python {target.python}")
        real = _llama_here(request, target, cache, version)
        packages = _resolve_packages(request, target, own_wheel, real, version)
        kernel = _resolve_kernel(request, target) if request.with_kernel else ()
        plans.append(TargetPlan(target, tuple(packages), tuple(kernel)))
    return Plan(request, tuple(_with_sizes(plans)))


def pinned_version(package: str) -> str:
    """The tested version of a package. Raises BundleError without one."""
    for line in constraints_file().read_text(encoding="utf-8").splitlines():
        found = _PIN.match(line)
        if found and _normal(found[1]) == _normal(package):
            return found[2]
    raise BundleError(f"{constraints_file()} has no version of {package}.")


def _llama_here(request: Request, target: Target, cache: Path, version: str) -> Path | None:
    """The wheel of llama-cpp-python, None where it is still to be compiled."""
    if given := llama.given_wheel(request.wheels, target.platform, version):
        return given
    llama.check_can_be_had(target, this_machine().platform, version)
    return llama.kept_wheel(cache, version, target.cpu)


def _resolve_packages(
    request: Request, target: Target, own_wheel: Path, real: Path | None, version: str
) -> Iterator[Item]:
    folder = request.part / "found" / target.name
    folder.mkdir(parents=True, exist_ok=True)
    for stub in folder.glob(f"{llama.NAME}-*"):
        stub.unlink()
    llama_folder = llama.stub(version, folder).parent if real is None else real.parent
    constraints = folder / "constraints.txt"
    constraints.write_text(_constraints(), encoding="utf-8")
    places = [*request.wheels, llama_folder, folder]
    arguments = ["-c", str(constraints), *(w for p in places for w in ("--find-links", str(p)))]
    resolved, index = _with_torch(request, target, [*arguments, str(own_wheel)], folder)
    if cuda := next((i.name for i in resolved if _CUDA.match(_normal(i.name))), None):
        raise BundleError(
            f"pip has chosen a build of PyTorch for graphics cards ({cuda}), gigabytes larger. "
            f"Name an index that has one for processors: --torch-index {TORCH_INDEX}"
        )
    for item in resolved:
        if real is None and _normal(item.name) == "llama-cpp-python":
            name = f"{llama.NAME}-{version}-py3-none-{target.platform}.whl"
            yield Item(item.name, version, name, "", "", item.metadata)
        else:
            yield _item(item, index)


def _constraints() -> str:
    """The tested versions, with the build of PyTorch for processors."""
    lines = constraints_file().read_text(encoding="utf-8").splitlines()
    return "\n".join(re.sub(r"^(torch==[^\s;+]+)", r"\1+cpu", line) for line in lines) + "\n"


def _with_torch(
    request: Request, target: Target, arguments: list[str], folder: Path
) -> tuple[list[Resolved], str]:
    """Resolve; with the index of PyTorch's builds for processors where pip's own have none."""
    try:
        return _resolve_building(target, arguments, folder), ""
    except PipFailed:
        if not request.torch_index or _has_torch(target, arguments[:-1]):
            raise
    arguments = ["--extra-index-url", request.torch_index, *arguments]
    if not _has_torch(target, arguments[:-1]):  # else pip asks that index for every package
        raise BundleError(
            f"PyTorch {pinned_version('torch')}+cpu for {target.platform}, Python {target.python} "
            f"is neither in pip's indexes nor at {request.torch_index}. Name an index that has it "
            "(--torch-index), or give its wheel (--wheels)."
        )
    return _resolve_building(target, arguments, folder), request.torch_index


def _has_torch(target: Target, places: list[str]) -> bool:
    try:
        resolve(target, ["--no-deps", f"torch=={pinned_version('torch')}+cpu", *places])
    except PipFailed:
        return False
    return True


def _resolve_building(target: Target, arguments: list[str], folder: Path) -> list[Resolved]:
    """Resolve; what is published as source only is built here, where that fits the target."""
    built: set[str] = set()
    while True:
        try:
            return _resolve_every_patch(target, arguments)
        except PipFailed as error:
            name = re.split(r"[^A-Za-z0-9._-]", error.missing or "")[0]
            if not name or name in built:
                raise
            _build_missing(target, name, folder, error)
            built.add(name)


def _resolve_every_patch(target: Target, arguments: list[str]) -> list[Resolved]:
    """For the first patch release of the Python, with what only later ones need besides."""
    resolved = resolve(target, arguments)
    conditions = [text for item in resolved for text in item.metadata.get("requires_dist", ())]
    if any(_PATCH in text and ">" in text.partition(";")[2] for text in conditions):
        names = {item.name for item in resolved}
        later = resolve(target, arguments, NEWEST_PATCH)
        resolved += [item for item in later if item.name not in names]
    return resolved


def _build_missing(target: Target, name: str, folder: Path, why: PipFailed) -> None:
    before = set(folder.glob("*.whl"))
    try:
        build(f"{name}=={pinned_version(name)}", folder)
    except BundleError:
        raise why from None
    for wheel in set(folder.glob("*.whl")) - before:
        is_pure = wheel.stem.endswith("-none-any")
        if not is_pure and target.platform != this_machine().platform:
            wheel.unlink()
            raise BundleError(
                f"{name} {pinned_version(name)} has no wheel for {target.platform}, Python "
                f"{target.python}, glibc {target.glibc}. There may be one for a newer --glibc; "
                "else build it on such a machine (pip wheel --no-deps) and give its folder with "
                "--wheels."
            ) from why


def _resolve_kernel(request: Request, target: Target) -> Iterator[Item]:
    lock = guest_folder() / "requirements.txt"
    arguments = ["--no-deps", "--require-hashes", "-r", str(lock)]
    arguments += [word for folder in request.wheels for word in ("--find-links", str(folder))]
    # The environment is built by the lock's own conditions, some of them on the patch release.
    patches = (0, NEWEST_PATCH) if _PATCH in lock.read_text(encoding="utf-8") else (0,)
    resolved = [item for patch in patches for item in resolve(target, arguments, patch)]
    yield from {item.url: _item(item, "") for item in resolved}.values()


def _item(resolved: Resolved, index: str) -> Item:
    path = urllib.parse.unquote(urllib.parse.urlsplit(resolved.url).path)
    return Item(
        resolved.name,
        resolved.version,
        PurePosixPath(path).name,
        resolved.url,
        resolved.sha256,
        resolved.metadata,
        index=index,
    )


def _with_sizes(plans: Sequence[TargetPlan]) -> Iterator[TargetPlan]:
    urls = {item.url for plan in plans for item in (*plan.packages, *plan.kernel) if item.url}
    sizes = ask_sizes(sorted(urls))

    def sized(item: Item) -> Item:
        size = sizes.get(item.url)
        return Item(
            item.name, item.version, item.filename, item.url, item.sha256, item.metadata, size,
            item.index,
        )  # fmt: skip

    for plan in plans:
        packages, kernel = (tuple(map(sized, items)) for items in (plan.packages, plan.kernel))
        yield TargetPlan(plan.target, packages, kernel)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
