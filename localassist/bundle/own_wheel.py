"""The wheel of localassist itself: built from the checkout it runs from, else put together again
from what is installed."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from email.message import Message
from importlib import metadata
from pathlib import Path, PurePosixPath

import localassist
from localassist.bundle.pip import build
from localassist.errors import BundleError

_EPOCH = (1980, 1, 1, 0, 0, 0)
_LEFT_OUT = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
_STUB_WHEEL = (
    "Wheel-Version: 1.0\nGenerator: localassist\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
)


def checkout() -> Path | None:
    """The source that runs this, None where localassist is installed."""
    root = Path(localassist.__file__).resolve().parents[1]
    return root if (root / "pyproject.toml").is_file() else None


def constraints_file() -> Path:
    """The tested versions: in the package when it was installed from a wheel, else in the
    checkout."""
    package = Path(localassist.__file__).resolve().parent
    in_wheel = package / "_shipped" / "constraints.txt"
    return in_wheel if in_wheel.is_file() else package.parent / "constraints.txt"


def make_own_wheel(folder: Path) -> Path:
    """``localassist-<version>-py3-none-any.whl`` in the folder. Raises BundleError."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("localassist-*.whl"):
        old.unlink()
    source = checkout()
    if source is not None:
        build(str(source), folder)
    else:
        repack(metadata.distribution("localassist"), folder)
    found = list(folder.glob("localassist-*.whl"))
    if len(found) != 1:
        raise BundleError("The wheel of localassist itself was not built.")
    return found[0]


def repack(distribution: metadata.Distribution, folder: Path) -> Path:
    """A wheel with the files that an installed distribution lists, as it was installed from.
    BundleError where one of them is gone or was changed."""
    name = distribution.metadata["Name"].replace("-", "_")
    target = folder / f"{name}-{distribution.version}-py3-none-any.whl"
    files: dict[str, bytes] = {}
    for entry in distribution.files or ():
        path = PurePosixPath(entry.as_posix())
        is_ours = ".." not in path.parts and path.suffix != ".pyc"
        if not is_ours or (path.parent.suffix == ".dist-info" and path.name in _LEFT_OUT):
            continue
        try:
            files[str(path)] = content = Path(str(entry.locate())).read_bytes()
        except OSError as error:
            raise BundleError(f"{entry.locate()} is gone; install {name} anew.") from error
        if entry.hash is not None and entry.hash.value != _digest(content):
            raise BundleError(f"{entry.locate()} was changed; install {name} anew.")
    folder.mkdir(parents=True, exist_ok=True)
    if not files:
        raise BundleError(f"{name} was not installed from a wheel and cannot be packed again.")
    write_wheel(target, f"{name}-{distribution.version}.dist-info", files)
    return target


def write_stub(name: str, version: str, requires: list[str], folder: Path) -> Path:
    """A wheel with nothing but what it requires: to find out what else is needed before the real
    one is compiled."""
    info = f"{name}-{version}.dist-info"
    head = Message()
    head["Metadata-Version"], head["Name"], head["Version"] = "2.1", name, version
    for requirement in requires:
        head["Requires-Dist"] = requirement
    target = folder / f"{name}-{version}-py3-none-any.whl"
    files = {f"{info}/METADATA": head.as_bytes(), f"{info}/WHEEL": _STUB_WHEEL.encode()}
    write_wheel(target, info, files)
    return target


def write_wheel(target: Path, info: str, files: dict[str, bytes]) -> None:
    """A wheel of these files, the same bytes every time."""
    rows = [f"{path},sha256={_digest(content)},{len(content)}\n" for path, content in files.items()]
    record = "".join([*rows, f"{info}/RECORD,,\n"]).encode()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, content in {**files, f"{info}/RECORD": record}.items():
            entry = zipfile.ZipInfo(path, _EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(entry, content)


def _digest(content: bytes) -> str:
    digest = hashlib.sha256(content).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
