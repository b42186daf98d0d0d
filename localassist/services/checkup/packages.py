"""Are the libraries there, and are they those that this release is tested with?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import localassist
from localassist.services.checkup.finding import Configuration, Finding

_NAMED = 4  # names in a line; a person looks at the first ones


def packages(_: Configuration) -> Iterator[Finding]:
    needed = [Requirement(line) for line in requires("localassist") or ()]
    needed = [one for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    there = {one.name: _version(one.name) for one in needed}
    missing = [one.name for one in needed if there[one.name] is None]
    old = [
        f"{one.name} {found} (needs {one.specifier})"
        for one in needed
        if (found := there[one.name]) is not None and not one.specifier.contains(found, True)
    ]
    if missing or old:
        says = []
        if missing:
            says.append(f"Missing: {_list(missing)}.")
        if old:
            says.append(f"Too old: {_list(old)}.")
        yield Finding("packages", "failed", tuple(says), "pip install --upgrade localassist")
        return
    tested = tested_versions()
    other = [
        f"{name} {found} (tested: {tested[key]})"
        for name, found in there.items()
        if (key := canonicalize_name(name)) in tested and tested[key] != found
    ]
    says_count = f"localassist {localassist.__version__} and {len(needed)} libraries"
    if not tested:
        yield Finding("packages", "ok", (f"{says_count}.", "The tested versions are not known."))
    elif other:
        says_other = f"{len(other)} of {len(needed)} libraries are not of the tested version."
        detail = f"{_list(other)}."
        yield Finding("packages", "warning", (says_other, detail), "pip install -c constraints.txt")
    else:
        yield Finding("packages", "ok", (f"{says_count}, all of the tested versions.",))


def tested_versions() -> Mapping[str, str]:
    """Of ``constraints.txt``, which is in the package, or beside it in a source checkout; nothing
    where it is in neither."""
    package = Path(localassist.__file__).resolve().parent
    for path in (package / "_shipped" / "constraints.txt", package.parent / "constraints.txt"):
        if path.is_file():
            return dict(_pins(path.read_text("utf-8")))
    return {}


def _pins(text: str) -> Iterator[tuple[str, str]]:
    """Of packages pinned several times, the pin that holds for this Python."""
    for line in text.splitlines():
        line = line.partition("#")[0].strip()
        if not line:
            continue
        pin = Requirement(line)
        if pin.marker is None or pin.marker.evaluate():
            yield canonicalize_name(pin.name), str(pin.specifier).removeprefix("==")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _list(names: list[str]) -> str:
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
