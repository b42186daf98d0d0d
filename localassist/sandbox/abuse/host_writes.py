"""How the host names files, walks a folder and writes into one that code has prepared for it."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

from localassist.sandbox.abuse.case import Finding
from localassist.sandbox.abuse.host_reads import prepared, taken
from localassist.sandbox.abuse.scene import Scene
from localassist.sandbox.changes import take_snapshot
from localassist.sandbox.files import opened_folder, put_file
from localassist.sandbox.names import readable


async def odd_names(scene: Scene) -> Finding:
    """Every name must come out as text that JSON and UTF-8 can hold, and every file be kept."""
    await prepared(scene)
    found = await asyncio.to_thread(taken, scene.data)
    try:
        for name in found:
            json.dumps(readable(name), ensure_ascii=False).encode()
    except UnicodeError as error:
        return Finding(True, f"a name breaks the answer: {error}")
    kept = sum(isinstance(content, bytes) for content in found.values())
    return Finding(False, f"{kept} of {len(found)} files were kept under readable names")


async def odd_names_naively(scene: Scene) -> Finding:
    await prepared(scene)
    try:
        for name in os.listdir(scene.data):
            json.dumps(name, ensure_ascii=False).encode()
    except UnicodeError as error:
        return Finding(True, f"a name breaks the answer: {error}")
    return Finding(False, "all names are UTF-8")


async def walk_is_bounded(scene: Scene) -> Finding:
    await prepared(scene)
    with opened_folder(scene.data) as folder:
        snapshot = await asyncio.to_thread(take_snapshot, folder, max_entries=100)
    seen = len(snapshot.stamps)
    return Finding(seen > 100, f"looked at {seen} files; left out {len(snapshot.left_out)} folders")


async def _input_written(scene: Scene, put: Callable[[Path], None]) -> Finding:
    """The host gives a file a name where the code has planted something."""
    await prepared(scene)
    secret = scene.bait.secret
    source = scene.lodgings.folder / "input"
    source.write_text("given by a user", "utf-8")
    try:
        put(source)
        if secret.read_text("utf-8") != scene.bait.word:
            return Finding(True, "the host wrote over its own file")
    except OSError as error:
        return Finding(False, f"{type(error).__name__}: {error.strerror}")
    finally:
        source.unlink()
        with secret.open("w", encoding="utf-8") as stream:
            stream.write(scene.bait.word)
    return Finding(False, "the planted name was replaced or moved aside")


async def input_over_link(scene: Scene) -> Finding:
    with opened_folder(scene.data) as folder:
        owner = scene.lodgings.provider.owner_uid()

        def put(source: Path) -> None:
            for name in ("input.csv", "folder/secret.txt", "taken"):
                put_file(folder, name, source, owner=owner)

        return await _input_written(scene, put)


async def input_over_link_naively(scene: Scene) -> Finding:
    def put(source: Path) -> None:
        (scene.data / "input.csv").write_bytes(source.read_bytes())

    return await _input_written(scene, put)


async def input_outside(scene: Scene) -> Finding:
    escaped = scene.data.parent / "escaped"
    source = scene.bait.secret
    with opened_folder(scene.data) as folder:
        refused = ""
        for name in ("../escaped", "a/../../escaped", str(escaped)):
            try:
                put_file(folder, name, source)
            except OSError as error:
                refused = error.strerror or str(error)
    return Finding(escaped.exists(), refused or "all names were taken")


async def input_outside_naively(scene: Scene) -> Finding:
    escaped = scene.data / "../escaped"
    escaped.write_text("x", "utf-8")
    found = (scene.data.parent / "escaped").exists()
    escaped.unlink()
    return Finding(found, "written beside the folder")


async def is_unpickled(scene: Scene) -> Finding:
    await prepared(scene)
    await asyncio.to_thread(taken, scene.data)
    mark = scene.bait.folder / "unpickled"
    return Finding(mark.exists(), "the file was read as bytes")


async def is_unpickled_naively(scene: Scene) -> Finding:
    await prepared(scene)
    pickle.loads((scene.data / "table.pkl").read_bytes())
    mark = scene.bait.folder / "unpickled"
    found = mark.exists()
    if found:
        mark.rmdir()
    return Finding(found, "code of the sandbox ran on the host")
