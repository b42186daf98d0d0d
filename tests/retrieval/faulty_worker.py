"""The process that reads files, with a library that does what the file's content says."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from localassist.retrieval.documents import ParsedDocument
from localassist.retrieval.parsers import worker


def misbehave(path: Path, filename: str, max_characters: int) -> ParsedDocument:
    command = path.read_text()
    if command == "print":
        os.write(1, b"noise on standard output\n" * 1000)
        print("more noise", flush=True)
    elif command == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif command == "crash unless first" and worker_is_old:
        os.kill(os.getpid(), signal.SIGSEGV)
    elif command == "exit":
        os._exit(3)
    elif command == "hang":
        time.sleep(600)
    elif command == "spin":
        while True:
            pass
    elif command == "allocate":
        return ParsedDocument(str(len(bytearray(4 << 30))))
    elif command == "write":
        Path(filename).write_text("something")
    elif command == "too much":
        return ParsedDocument("x" * 1_000_000)
    elif command == "bug":
        raise ZeroDivisionError
    worker_is_old.append(True)
    return ParsedDocument(f"{os.getpid()} did {command}")


worker_is_old: list[bool] = []

if __name__ == "__main__":
    worker.read_document = misbehave
    worker.identifier = lambda: None  # loading it takes longer than these tests
    worker.main(sys.argv[1:])
