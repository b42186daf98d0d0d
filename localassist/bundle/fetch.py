"""Wheels into the work folder: those that are there whole stay, the others are fetched by pip."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from localassist.bundle.pip import download
from localassist.bundle.plan import Item
from localassist.bundle.sizes import file_of
from localassist.bundle.targets import Target
from localassist.bundle.wheels import check_wheel
from localassist.disk import copy_whole, sha256_of
from localassist.errors import BundleError

OnItem = Callable[[Item], None]

_ALONE_BYTES = 20_000_000
_TOGETHER = 12


def fetch(target: Target, items: Sequence[Item], folder: Path, on_item: OnItem) -> None:
    """Every wheel into the folder, complete and with the hash that the index says. ``on_item`` is
    called for each as soon as it is there. Interrupted, the next call goes on. Raises
    BundleError."""
    folder.mkdir(parents=True, exist_ok=True)
    remote = []
    for item in items:
        path = folder / item.filename
        here = file_of(item.url)
        if is_whole(path, item):
            on_item(item)
        elif here is not None:
            copy_whole(here, path)
            _check(path, item)
            on_item(item)
        else:
            remote.append(item)
    for batch in _batches(remote):
        _download(target, batch, folder)
        for item in batch:
            _check(folder / item.filename, item)
            on_item(item)


def is_whole(path: Path, item: Item) -> bool:
    """Whether the file is there and is the one that was chosen."""
    if not path.is_file():
        return False
    if item.sha256:
        return sha256_of(path) == item.sha256
    try:
        check_wheel(path)
    except BundleError:
        return False
    return True


def _batches(items: Sequence[Item]) -> Iterator[list[Item]]:
    """Large ones alone, so that an interruption costs no more than one of them."""
    together: dict[tuple[str, bool], list[Item]] = {}
    for item in items:
        if (item.size_bytes or 0) >= _ALONE_BYTES:
            yield [item]
            continue
        batch = together.setdefault((item.index, bool(item.sha256)), [])
        batch.append(item)
        if len(batch) == _TOGETHER:
            yield batch[:]
            batch.clear()
    yield from (batch for batch in together.values() if batch)


def _download(target: Target, batch: Sequence[Item], folder: Path) -> None:
    listed = folder / ".fetching.txt"
    listed.write_text("".join(requirement(item) for item in batch), encoding="utf-8")
    index = batch[0].index
    try:
        arguments = ["--extra-index-url", index] if index else []
        download(target, [*arguments, "-r", str(listed)], folder)
    finally:
        listed.unlink(missing_ok=True)


def requirement(item: Item) -> str:
    """A line of pip's, for exactly this file where its hash is known."""
    pinned = f"{item.name}=={item.version}"
    return f"{pinned} --hash=sha256:{item.sha256}\n" if item.sha256 else f"{pinned}\n"


def _check(path: Path, item: Item) -> None:
    if not is_whole(path, item):
        raise BundleError(
            f"{item.filename} did not come as the index describes it: it is "
            + ("another file than its hash says." if path.is_file() else "missing.")
        )
