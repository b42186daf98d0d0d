"""The probe on machines that lack something, each made for the test: for real, as root."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.providers import PROVIDERS
from tests.sandbox.kernels import the_environment

pytestmark = pytest.mark.sandbox

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes the machine")

ROOT = Path(__file__).parents[2]

# Namespaces of users and mounts of its own, with all users in them; then ``sys.argv[1]`` is done to
# the machine as it is seen there, and the probe tells its verdict.
ELSEWHERE = """
import ctypes, dataclasses, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def mount(*arguments):
    assert libc.mount(*arguments) == 0, os.strerror(ctypes.get_errno())
USERS, MOUNTS = 0x10000000, 0x20000
mapped, parent = os.pipe(), os.getpid()
if "USERS" in sys.argv[1]:
    if os.fork() == 0:
        os.read(mapped[0], 1)
        for name in ("uid_map", "gid_map"):
            open(f"/proc/{parent}/{name}", "w").write("0 0 70000")
        os._exit(0)
    assert libc.unshare(USERS) == 0
    os.write(mapped[1], b"x")
    assert os.wait()[1] == 0
assert libc.unshare(MOUNTS) == 0
mount(b"none", b"/", None, 0x44000, None)
exec(sys.argv[1])
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.providers import PROVIDERS
verdict = PROVIDERS["bubblewrap"](SandboxSettings()).probe(None)
print(json.dumps(dataclasses.asdict(verdict)))
"""


def verdict_where(change: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, change], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@needs_root
@pytest.mark.parametrize("change", ["", "USERS"])
def test_nothing_is_lacking(change: str) -> None:
    """What the others change is what makes the difference."""
    assert verdict_where(change)["ok"]


@needs_root
@pytest.mark.parametrize(
    "change, reason, hint",
    [
        (
            "USERS; open('/proc/sys/user/max_user_namespaces', 'w').write('0')",
            "max_user_namespaces is 0",
            "sysctl --system",
        ),
        (
            "USERS; open('/proc/sys/user/max_net_namespaces', 'w').write('0')",
            "max_*_namespaces",
            "max_net_namespaces=15000",
        ),
        (
            "mount(b'tmpfs', b'/proc/irq', b'tmpfs', 1, None)",
            "No fresh /proc",
            "unmask=ALL",
        ),
        (
            "mount(b'/proc/sys', b'/proc/sys', None, 0x1000, None);"
            "mount(b'none', b'/proc/sys', None, 0x1021, None)",
            "No fresh /proc",
            "systempaths=unconfined",
        ),
    ],
    ids=["no user namespaces", "no network namespaces", "masked /proc", "read-only /proc/sys"],
)
def test_what_is_lacking_is_said(change: str, reason: str, hint: str) -> None:
    verdict = verdict_where(change)
    assert not verdict["ok"] and verdict["level"] == "none"
    assert reason in verdict["reasons"][0], verdict
    assert hint in verdict["fix_hint"]


def probe(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[bool, str, str]:
    monkeypatch.setenv("PATH", str(path))
    verdict = PROVIDERS["bubblewrap"](SandboxSettings()).probe(None)
    return verdict.ok, verdict.reasons[0] if verdict.reasons else "", verdict.fix_hint or ""


def test_bwrap_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ok, reason, hint = probe(tmp_path, monkeypatch)
    assert not ok and "not installed" in reason and "bubblewrap" in hint


@pytest.mark.parametrize("version", ["0.3.3", "0.7.0"])
def test_bwrap_is_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text(f"#!/bin/sh\necho bubblewrap {version}\n")
    fake.chmod(0o755)
    ok, reason, hint = probe(tmp_path, monkeypatch)
    assert not ok and version in reason and "0.8 or newer" in hint


@needs_root
def test_bwrap_is_setuid(monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.which("bwrap")
    assert real is not None
    if os.statvfs("/tmp").f_flag & os.ST_NOSUID:
        pytest.skip("no set-id programs in /tmp")
    # Where other users may enter, unlike ``tmp_path``.
    folder = Path(f"/tmp/localassist-test-{os.getpid()}")
    folder.mkdir(mode=0o755)
    try:
        shutil.copy(real, folder / "bwrap")
        (folder / "bwrap").chmod(0o755 | stat.S_ISUID)
        ok, reason, hint = probe(folder, monkeypatch)
    finally:
        shutil.rmtree(folder)
    assert not ok and "setuid root" in reason and "chmod u-s" in hint


def test_this_machine() -> None:
    for environment in (None, the_environment()):
        verdict = PROVIDERS["bubblewrap"](SandboxSettings()).probe(environment)
        assert verdict.ok and verdict.level == "strong", verdict


@needs_root
def test_a_kernels_user_with_an_account() -> None:
    verdict = PROVIDERS["bubblewrap"](SandboxSettings(uid=1)).probe(None)
    # daemon has an account on every system, with or without a shell.
    assert verdict.ok or "can log in" in verdict.reasons[0]
