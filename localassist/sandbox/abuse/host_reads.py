"""How the host reads a folder that code has prepared for it, by its rules and without them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

from localassist.sandbox.abuse.case import Finding, Judge, NoAnswer
from localassist.sandbox.abuse.scene import Scene
from localassist.sandbox.changes import take_snapshot
from localassist.sandbox.files import NotKept, open_output, opened_folder

MAX_ENTRIES = 2000
MAX_BYTES = 10 << 20


async def prepared(scene: Scene) -> None:
    cell = await scene.cell()
    if cell.ended.status != "ok":
        raise NoAnswer(f"{cell.summary}; {cell.text[-300:]}")


def taken(data: Path) -> dict[str, bytes | str]:
    """What the host keeps of a folder: contents by path, or why a file is not kept."""
    found: dict[str, bytes | str] = {}
    with opened_folder(data) as folder:
        for path in take_snapshot(folder, max_entries=MAX_ENTRIES).stamps:
            found[path] = _read(folder, path)
    return found


def _read(folder: int, path: str) -> bytes | str:
    try:
        output = open_output(folder, path, max_bytes=MAX_BYTES)
    except NotKept as refusal:
        return str(refusal)
    try:
        return b"".join(output.chunks())
    finally:
        output.close()


def _holds_secret(scene: Scene, contents: list[bytes | str]) -> bool:
    word = scene.bait.word.encode()
    return any(isinstance(content, bytes) and word in content for content in contents)


async def secret_comes_out(scene: Scene) -> Finding:
    """The host collects what the code left; the secret must not be in it."""
    await prepared(scene)
    found = await asyncio.to_thread(taken, scene.data)
    if _holds_secret(scene, list(found.values())):
        return Finding(True, "the host copied its own secret into the results")
    refusals = {text for text in found.values() if isinstance(text, str)}
    return Finding(False, "; ".join(sorted(refusals)) or "nothing was taken")


async def secret_comes_out_naively(scene: Scene) -> Finding:
    await prepared(scene)
    contents = await asyncio.to_thread(_taken_naively, scene.data)
    return Finding(_holds_secret(scene, contents), "read with open()")


def _taken_naively(data: Path) -> list[bytes | str]:
    paths = [
        Path(root, name)
        for root, _, names in os.walk(data, followlinks=True)
        for name in names
        if Path(root, name).is_file()
    ]
    return [path.read_bytes() for path in paths]


async def _swapped(scene: Scene, read: Callable[[], bytes | str]) -> Finding:
    """The file is a file when the host looks at it, and a link when it opens it."""
    await prepared(scene)
    if not _is_file(scene.data / "result.csv"):
        raise NoAnswer("the code has left no file")
    cell = await scene.cell(
        """
        os.symlink(BAIT['secret'], '/mnt/data/link')
        os.rename('/mnt/data/link', '/mnt/data/result.csv')
        """
    )
    if cell.ended.status != "ok":
        raise NoAnswer(cell.summary)
    content = read()
    if _holds_secret(scene, [content]):
        return Finding(True, "the host copied its own secret into the results")
    return Finding(False, content if isinstance(content, str) else "read something else")


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


async def swapped_for_link(scene: Scene) -> Finding:
    with opened_folder(scene.data) as folder:
        return await _swapped(scene, lambda: _read(folder, "result.csv"))


async def swapped_for_link_naively(scene: Scene) -> Finding:
    return await _swapped(scene, (scene.data / "result.csv").read_bytes)


async def race(scene: Scene) -> Finding:
    """Reads a thousand times while code swaps file and folder for links as fast as it can."""
    running = asyncio.create_task(scene.cell())

    def read_often() -> tuple[bool, int]:
        reached, seen = False, 0
        while not (scene.data / "out").is_dir() and not running.done():
            time.sleep(0.01)
        with opened_folder(scene.data) as folder:
            for _ in range(1000):
                for path in ("result.csv", "out/secret.txt"):
                    content = _read(folder, path)
                    seen += content == b"harmless"
                    reached = reached or _holds_secret(scene, [content])
        return reached, seen

    reached, seen = await asyncio.to_thread(read_often)
    cell = await running
    if cell.ended.status != "ok":
        raise NoAnswer(f"{cell.summary}; {cell.text[-300:]}")
    if reached:
        return Finding(True, "the host copied its own secret into the results")
    return Finding(False, f"2,000 reads, {seen} of them of the true file, none of the secret")


def made_by_host(make: Callable[[Scene, Path], None], judge: Judge) -> Judge:
    """With something in the folder that the code itself is not allowed to make."""

    async def judged(scene: Scene) -> Finding:
        try:
            make(scene, scene.data / "trap")
        except OSError as error:
            return Finding(None, f"cannot be made here: {error}")
        return await judge(scene)

    return judged


def pipe(_: Scene, path: Path) -> None:
    os.mkfifo(path, 0o666)


def hard_link(scene: Scene, path: Path) -> None:
    os.link(scene.bait.secret, path)


def sparse(_: Scene, path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(1 << 40)


async def nothing_hangs(scene: Scene) -> Finding:
    reading = asyncio.create_task(asyncio.to_thread(taken, scene.data))
    return await _hangs(scene, reading)


async def nothing_hangs_naively(scene: Scene) -> Finding:
    return await _hangs(
        scene, asyncio.create_task(asyncio.to_thread((scene.data / "trap").read_bytes))
    )


async def _hangs(scene: Scene, reading: asyncio.Task[object]) -> Finding:
    """A host that waits for a writer is helped out of it, and the attack has succeeded."""
    done, _ = await asyncio.wait({reading}, timeout=1)
    if not done:
        try:
            os.close(os.open(scene.data / "trap", os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            done, _ = await asyncio.wait({reading}, timeout=30)  # no reader: it is only slow
        else:
            await reading
            return Finding(True, "the host waited for a writer")
    return Finding(False, str(reading.result())[:80])


async def copies_too_much(scene: Scene) -> Finding:
    found = await asyncio.to_thread(taken, scene.data)
    copied = sum(len(content) for content in found.values() if isinstance(content, bytes))
    reasons = "; ".join(text for text in found.values() if isinstance(text, str))
    return Finding(copied > MAX_BYTES, reasons or f"{copied} bytes")


async def copies_too_much_naively(scene: Scene) -> Finding:
    copied = 0
    with (scene.data / "trap").open("rb") as stream:
        while copied <= MAX_BYTES and (chunk := stream.read(1 << 20)):
            copied += len(chunk)  # stops here; a copy would go on to a terabyte
    return Finding(copied > MAX_BYTES, f"{copied} bytes and more")


async def growing(scene: Scene) -> Finding:
    """The file grows between two pieces that the host reads."""
    await prepared(scene)
    with opened_folder(scene.data) as folder:
        output = open_output(folder, "growing.bin", max_bytes=MAX_BYTES)
        try:
            pieces = output.chunks()
            read = len(next(pieces))
            await scene.cell("open('/mnt/data/growing.bin', 'ab').write(bytes(12 << 20))")
            read += sum(map(len, pieces))
        finally:
            output.close()
    return Finding(read > MAX_BYTES, f"{read} bytes of the {3 << 20} it had")


async def growing_naively(scene: Scene) -> Finding:
    await prepared(scene)
    with (scene.data / "growing.bin").open("rb") as stream:
        read = len(stream.read(1 << 20))
        await scene.cell("open('/mnt/data/growing.bin', 'ab').write(bytes(12 << 20))")
        read += len(stream.read())
    return Finding(read > MAX_BYTES, f"{read} bytes")
