"""What was read from the files of vector stores: is it there, and is it whole?

Indexes are not looked at: they are compared with it, and made anew from it, by whoever ingests.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from localassist.retrieval.segment_files import DAMAGED, read_segment, segment_folder
from localassist.services.checkup.finding import Configuration, Finding
from localassist.services.checkup.stored import asked
from localassist.storage.inspection import Inspection

_READ_SECONDS = 2.0
_NAMES = 3


def segments(settings: Configuration) -> Iterator[Finding]:
    """All are looked for; as many as can be in two seconds are read, others each time."""
    stores = asked(settings, Inspection.segments)
    if not stores:
        return
    name, root = "vector stores", settings.home / "segments"
    try:
        bad = {key for key in stores if not segment_folder(root, key).is_dir()}
        there = sorted(stores.keys() - bad)
        random.shuffle(there)
        damaged, read = _read(root, there)
    except OSError as error:
        says = f"{error.filename} cannot be read: {error.strerror}."
        yield Finding(name, "failed", (says,), f"Give the folder back to this user: {root}")
        return
    bad |= damaged
    if bad:
        yield _incomplete(stores, bad)
        return
    checked = "all there and whole" if read == len(stores) else f"all there; {read} of them read"
    yield Finding(name, "ok", (f"{_contents(len(stores))} of files in stores, {checked}.",))


def _read(root: Path, keys: list[str]) -> tuple[set[str], int]:
    """Those of the keys whose segments are damaged, and how many were read in time. Raises OSError
    for one that is there and cannot be read."""
    end = time.monotonic() + _READ_SECONDS
    damaged: set[str] = set()
    for done, key in enumerate(keys):
        if time.monotonic() > end:
            return damaged, done
        try:
            read_segment(segment_folder(root, key), key)
        except DAMAGED:
            damaged.add(key)
    return damaged, len(keys)


def _incomplete(stores: Mapping[str, str], bad: set[str]) -> Finding:
    where = sorted({stores[key] for key in bad})
    named = ", ".join(where[:_NAMES]) + (" and others" if len(where) > _NAMES else "")
    says = f"{len(bad)} of {_contents(len(stores))} of files are missing or damaged, in {named}."
    then = "A search that comes upon one has it made anew from its file, and goes on without it."
    fix = f"Search there, until nothing is missing: localassist stores search {where[0]} TEXT"
    return Finding("vector stores", "warning", (says, then), fix)


def _contents(count: int) -> str:
    return f"{count:,} content{'' if count == 1 else 's'}"
