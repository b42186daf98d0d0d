"""The children that read files: what they give back, how they end, what they cannot do."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from localassist.errors import ShuttingDown, UnreadableFile, UnsupportedFile
from localassist.retrieval import parsing
from localassist.retrieval.config import RetrievalSettings
from localassist.retrieval.parsing import ParserPool
from tests.documents import encrypted_pdf, pdf
from tests.retrieval.parsers.reads import place_of

Write = Callable[[bytes], Path]


@pytest.fixture
async def pool() -> AsyncIterator[ParserPool]:
    pool = ParserPool(RetrievalSettings())
    yield pool
    await pool.close()


@pytest.fixture
async def faulty(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ParserPool]:
    """Children that do what a file says, see ``faulty_worker``; they have a few seconds."""
    monkeypatch.setattr(parsing, "_MODULE", "tests.retrieval.faulty_worker")
    settings = RetrievalSettings(parse_seconds=20, parse_memory_mb=512, max_text_characters=100_000)
    pool = ParserPool(settings)
    yield pool
    await pool.close()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(content: bytes) -> Path:
        path = tmp_path / f"blob{len(list(tmp_path.iterdir()))}"
        path.write_bytes(content)
        return path

    return write


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def do(pool: ParserPool, write: Write, command: str) -> str:
    return (await pool.parse(write(command.encode()), "a.txt")).text


def child_of(text: str) -> int:
    return int(text.split()[0])


async def test_a_document_comes_back_as_it_was_read(pool: ParserPool, write: Write) -> None:
    document = await pool.parse(write(pdf(["Zinc melts early.", "Größe: 12 µm"])), "a.pdf")
    assert document.text == "Zinc melts early.\n\nGröße: 12 µm"
    assert place_of(document, "Größe") == "page 2"
    assert (
        await pool.parse(write("Ein Satz auf Deutsch über 𝒳.".encode()), "b.txt")
    ).language == "de"


async def test_errors_come_back_with_their_sentences(pool: ParserPool, write: Write) -> None:
    with pytest.raises(UnreadableFile, match="encrypted"):
        await pool.parse(write(encrypted_pdf()), "a.pdf")
    with pytest.raises(UnsupportedFile, match="extension .mp4"):
        await pool.parse(write(b"film"), "a.mp4")
    with pytest.raises(UnreadableFile, match="no longer there"):
        await pool.parse(Path("/nowhere/at/all"), "a.txt")


async def test_a_file_that_takes_too_much_memory_is_told(write: Write) -> None:
    pool = ParserPool(RetrievalSettings(parse_memory_mb=128))
    for content, filename in (
        (b"[" + b"{}," * 2_000_000 + b"{}]", "a.json"),
        (b"<p>x</p>" * 1_500_000, "a.html"),
    ):
        with pytest.raises(UnreadableFile, match="more than 128 MiB of memory"):
            await pool.parse(write(content), filename)
    await pool.close()


async def test_a_child_reads_many_files(faulty: ParserPool, write: Write) -> None:
    children = {child_of(await do(faulty, write, "nothing")) for _ in range(5)}
    assert len(children) == 1


async def test_a_large_parent_does_not_count_as_a_large_child(
    faulty: ParserPool, write: Write
) -> None:
    ballast = b"x" * (700 << 20)
    children = {child_of(await do(faulty, write, "nothing")) for _ in range(2)}
    assert ballast and len(children) == 1


async def test_a_child_is_replaced_after_some_files(
    faulty: ParserPool, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parsing, "_FILES_PER_CHILD", 2)
    children = [child_of(await do(faulty, write, "nothing")) for _ in range(4)]
    assert children[0] == children[1] != children[2] == children[3]
    assert not is_alive(children[0])


async def test_what_libraries_print_does_not_matter(faulty: ParserPool, write: Write) -> None:
    assert (await do(faulty, write, "print")).endswith("did print")
    assert (await do(faulty, write, "nothing")).endswith("did nothing")


@pytest.mark.parametrize(
    "command, said",
    [
        ("crash", "crashed on this one"),
        ("exit", "crashed on this one"),
        ("bug", "crashed on this one"),
        ("allocate", "more than 512 MiB of memory"),
        ("too much", "too many parts"),
        ("write", "crashed on this one"),
    ],
)
async def test_a_child_that_fails_is_told_and_replaced(
    faulty: ParserPool, write: Write, command: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(UnreadableFile, match=said):
        await faulty.parse(write(command.encode()), str(tmp_path / "written"))
    written = tmp_path / "written"
    assert not written.exists() or not written.stat().st_size
    assert (await do(faulty, write, "nothing")).endswith("did nothing")


@pytest.mark.parametrize("command", ["hang", "spin"])
async def test_a_child_that_takes_too_long_is_stopped(
    monkeypatch: pytest.MonkeyPatch, write: Write, command: str
) -> None:
    monkeypatch.setattr(parsing, "_MODULE", "tests.retrieval.faulty_worker")
    pool = ParserPool(RetrievalSettings(parse_seconds=0.5))
    with pytest.raises(UnreadableFile, match=r"longer than 0\.5 seconds"):
        await do(pool, write, command)
    await pool.close()


async def test_a_child_that_an_earlier_file_broke_is_not_held_against_the_next(
    faulty: ParserPool, write: Write
) -> None:
    first = child_of(await do(faulty, write, "nothing"))
    # This one crashes in a child that has read a file, and works in a fresh one.
    assert child_of(await do(faulty, write, "crash unless first")) != first


async def test_a_child_that_died_in_its_sleep_is_replaced(faulty: ParserPool, write: Write) -> None:
    child = child_of(await do(faulty, write, "nothing"))
    os.kill(child, 9)
    assert child_of(await do(faulty, write, "nothing")) != child


async def test_cancelling_ends_the_child(faulty: ParserPool, write: Write) -> None:
    child = child_of(await do(faulty, write, "nothing"))
    task = asyncio.create_task(do(faulty, write, "hang"))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not is_alive(child)


async def test_closing_ends_children_at_work_and_starts_no_more(
    faulty: ParserPool, write: Write
) -> None:
    child = child_of(await do(faulty, write, "nothing"))
    task = asyncio.create_task(do(faulty, write, "hang"))
    await asyncio.sleep(0.2)
    await faulty.close()
    with pytest.raises(ShuttingDown):
        await task
    assert not is_alive(child)
    with pytest.raises(ShuttingDown):
        await do(faulty, write, "nothing")


async def test_children_without_work_end(
    faulty: ParserPool, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parsing, "_IDLE_SECONDS", 0.05)
    child = child_of(await do(faulty, write, "nothing"))
    for _ in range(1000):
        if not is_alive(child):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the child is still there")


async def test_no_more_children_than_workers(monkeypatch: pytest.MonkeyPatch, write: Write) -> None:
    monkeypatch.setattr(parsing, "_MODULE", "tests.retrieval.faulty_worker")
    pool = ParserPool(RetrievalSettings(), workers=2)
    texts = await asyncio.gather(*(do(pool, write, "nothing") for _ in range(8)))
    assert len({child_of(text) for text in texts}) <= 2
    await pool.close()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_what_a_child_gets_and_may_do(
    faulty: ParserPool, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    child = child_of(await do(faulty, write, "nothing"))
    os.close(reading)
    os.close(writing)
    folder = Path(f"/proc/{child}")
    assert b"sk-secret" not in (folder / "environ").read_bytes()
    limits = {line[:25].strip(): line.split()[-3] for line in _limits(folder)}
    assert limits["Max file size"] == "0" and limits["Max open files"] == "64"
    assert int(limits["Max address space"]) < 4 << 30
    # Three that go nowhere, and the two pipes.
    assert len(list((folder / "fd").iterdir())) == 5
    assert os.getpgid(child) == child


def _limits(folder: Path) -> list[str]:
    return (folder / "limits").read_text().splitlines()[1:]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a child at work finishes first")
def test_no_child_outlives_its_parent(write: Write, tmp_path: Path) -> None:
    told = tmp_path / "child"
    script = f"""
        import asyncio, os, signal
        from pathlib import Path
        from localassist.retrieval import parsing
        from localassist.retrieval.config import RetrievalSettings

        parsing._MODULE = "tests.retrieval.faulty_worker"

        async def main():
            pool = parsing.ParserPool(RetrievalSettings())
            document = await pool.parse(Path({str(write(b"nothing"))!r}), "a.txt")
            asyncio.ensure_future(pool.parse(Path({str(write(b"hang"))!r}), "a.txt"))
            await asyncio.sleep(0.2)
            Path({str(told)!r}).write_text(document.text)
            os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, cwd=parsing._ROOT, timeout=100, check=False)
    assert done.returncode == -9
    child = child_of(told.read_text())
    deadline = time.monotonic() + 30
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(child)


def is_running(pid: int) -> bool:
    """Nobody may collect the exit code of an orphan, so it may stay as a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
