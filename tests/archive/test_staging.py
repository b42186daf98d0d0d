"""What waits on disk while an import is checked, closed by who is interrupted."""

from __future__ import annotations

import subprocess
import sys

# Of 100 rounds, the first few end a process in which sqlite3 has nothing to keep it from it.
_ROUNDS = """
import sqlite3, sys, tempfile, threading
from pathlib import Path
from localassist.archive.staging import Staged, opened_staging

said = set()

def work(staging, begun):
    try:
        while True:
            begun.set()
            list(staging.ids("thread.message"))
            staging.of_owner("thread.message", "thread_1")
            staging.one("thread.message", "msg_1")
    except sqlite3.ProgrammingError as error:
        said.add(str(error))

for number in range(100):
    with tempfile.TemporaryDirectory() as folder:
        begun = threading.Event()
        with opened_staging(Path(folder)) as staging:
            for n in range(100):
                place = "", n, "user", "", 1, n, False, "{}"
                staging.put(Staged("thread.message", f"msg_{n}", "thread_1", *place))
            worker = threading.Thread(target=work, args=(staging, begun))
            worker.start()
            begun.wait()
        worker.join()
print(*said)
"""


def test_a_thread_that_still_reads_is_told_that_it_is_closed() -> None:
    done = subprocess.run([sys.executable, "-c", _ROUNDS], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "Cannot operate on a closed database.\n")
