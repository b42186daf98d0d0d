"""The process that reads files: ``python -m localassist.retrieval.parsers.worker``.

It gets a JSON request a line and answers each with a frame (``write_frame``). It may only read:
memory, processor time and open files are limited, written files have to be empty. It ends with
its parent, or when its input does. Its Python code reaches no other machine; C libraries could.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from localassist.errors import RetrievalError
from localassist.offline import seal
from localassist.retrieval.documents import ParsedDocument, Place
from localassist.retrieval.parsers.language import identifier
from localassist.retrieval.parsers.reading import read_document

FRAME = struct.Struct(">QQ")
"""Before each frame: the lengths in bytes of its JSON and of the text after it."""

OUT_OF_MEMORY = "out_of_memory"

_MOST_OPEN_FILES = 64
# A process that has grown to this (MiB) is replaced: libraries do not give all memory back.
_LARGE_MB = 600
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38


def main(arguments: Sequence[str]) -> None:
    """Arguments: the parent's process id, and the memory in MiB that files may take."""
    seal()
    parent, memory_mb = map(int, arguments)
    requests, replies = _take_pipes()
    identifier()
    _limit(parent, memory_mb)
    write_frame(replies, {}, b"")
    for line in requests:
        request = json.loads(line)
        _limit_time(request["seconds"])
        reply, text = _answer(request)
        reply["is_spent"] = reply.get("error") == OUT_OF_MEMORY or _peak_mb() > _LARGE_MB
        write_frame(replies, reply, text)


def write_frame(stream: IO[bytes], reply: Mapping[str, Any], text: bytes) -> None:
    header = json.dumps(reply).encode()
    stream.write(FRAME.pack(len(header), len(text)) + header)
    stream.write(text)
    stream.flush()


def document_of(reply: Mapping[str, Any], text: bytes) -> ParsedDocument:
    """The parent's side of an answer without an error."""
    places = tuple(Place(*fields) for fields in reply["places"])
    return ParsedDocument(text.decode("utf-8"), places, reply["language"])


def _answer(request: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
    try:
        document = read_document(
            Path(request["path"]), request["filename"], request["max_characters"]
        )
        places = [(p.start, p.end, p.page, p.slide, p.sheet, p.heading) for p in document.places]
        return {"places": places, "language": document.language}, document.text.encode("utf-8")
    except MemoryError:
        return {"error": OUT_OF_MEMORY}, b""
    except RetrievalError as error:
        return {"error": error.code, "message": error.message}, b""


def _take_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Standard input and output for ourselves; what libraries print goes nowhere."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    os.close(nothing)
    return requests, replies


def _limit(parent: int, memory_mb: int) -> None:
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:  # it died before it could be said what should happen then
        sys.exit(1)
    os.chdir("/")
    # What the interpreter and the libraries take already is not the file's.
    _set_limit(resource.RLIMIT_AS, (_size_mb() + memory_mb) << 20)
    _set_limit(resource.RLIMIT_NOFILE, _MOST_OPEN_FILES)
    _set_limit(resource.RLIMIT_FSIZE, 0)
    _set_limit(resource.RLIMIT_CORE, 0)


def _limit_time(seconds: float) -> None:
    """Of the processor, for the next file; the parent looks at the clock on the wall."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = usage.ru_utime + usage.ru_stime
    _set_limit(resource.RLIMIT_CPU, int(used + seconds) + 2)


def _set_limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    # Not every system has every limit.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(kind, (value, hard))


def _size_mb() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except OSError:
        return 512
    return pages * resource.getpagesize() >> 20


def _peak_mb() -> int:
    # On Linux the other figure begins with what the parent took when it started us.
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text("ascii", "replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) >> 10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak >> (20 if sys.platform == "darwin" else 10)


if __name__ == "__main__":
    main(sys.argv[1:])
