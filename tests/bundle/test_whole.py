"""The real bundle: made of all packages, installed where there is no network, and used there.

Takes the better part of an hour where llama.cpp is still to be compiled, and minutes where pip's
wheel of it is given in ``LLAMA_WHEELS``, a folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bundle.tiny import command, unpack

HERE = Path(__file__).parents[1]
ALONE = [sys.executable, str(HERE / "egress" / "alone.py")]
NOT_ALLOWED = 77


@pytest.mark.slow
@pytest.mark.sandbox
@pytest.mark.timeout(5400)
def test_made_moved_installed_and_used_without_a_network(tmp_path: Path) -> None:
    if subprocess.run([*ALONE, "true"]).returncode == NOT_ALLOWED:
        pytest.skip("this system does not allow a network of its own")
    out, prefix, home = tmp_path / "whole.tar", tmp_path / "prefix", tmp_path / "data"
    create = [sys.executable, "-m", "localassist", "bundle", "create", "--out", str(out), "--yes"]
    given = os.environ.get("LLAMA_WHEELS")
    subprocess.run([*create, *(["--wheels", given] if given else [])], check=True, cwd=HERE.parent)
    folder = unpack(out, tmp_path / "unpacked")
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    install = command(folder, prefix, "--home", str(home))
    done = subprocess.run([*ALONE, *install], env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is in use after" in done.stdout
    assert (prefix / "current" / "share" / "localassist" / "kernel" / "localassist.json").is_file()
    python = str(prefix / "current" / "bin" / "python")
    uses = [python, "-I", str(HERE / "egress" / "uses.py"), str(tmp_path / "used")]
    used = subprocess.run([*ALONE, *uses], env=environ, capture_output=True, text=True)
    assert used.returncode == 0, used.stdout + used.stderr
