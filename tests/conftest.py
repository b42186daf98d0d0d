"""What every test gets: its own data folder, and no way out of this machine."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from localassist.errors import SandboxUnavailable
from localassist.sandbox.choosing import choose
from localassist.sandbox.config import SandboxSettings

# Timing decides no test, and a busy machine is slow at times.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# Workers of the suite share the cores: a model's threads that spin while they wait for each other
# take them away from those that compute. Read when OpenMP is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# A shell that starts the tests in the background has Ctrl-C ignored, and processes inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Where kernels find their packages. Unset is where `make setup` puts them.
KERNELS = os.environ.get("LOCALASSIST_SANDBOX__ENVIRONMENT")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs isolation where none works, unless REQUIRE_SANDBOX forbids that."""
    if item.get_closest_marker("sandbox") is not None and (reason := why_no_sandbox()):
        if os.environ.get("REQUIRE_SANDBOX", "0") not in ("", "0"):
            pytest.fail(f"REQUIRE_SANDBOX is set, and there is none: {reason}", pytrace=False)
        pytest.skip(reason)


@cache
def why_no_sandbox() -> str | None:
    """Why no kernel can be isolated here, None where it can."""
    settings = SandboxSettings(environment=None if KERNELS is None else Path(KERNELS))
    try:
        choose(settings, Path(os.devnull))
    except SandboxUnavailable as error:
        return error.message
    return None


@pytest.fixture(autouse=True)
def localassist_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh data folder, and none of the settings of whoever runs the tests."""
    for name in os.environ:
        if name.startswith("LOCALASSIST_"):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    monkeypatch.setenv("LOCALASSIST_HOME", str(home))
    # Every fresh folder would measure anew how many threads are best.
    monkeypatch.setenv("LOCALASSIST_ENGINE__TUNING_SECONDS", "0")
    # And convert the embedding model anew.
    monkeypatch.setenv("LOCALASSIST_RETRIEVAL__EMBEDDER_BACKEND", "torch")
    if KERNELS is not None:
        monkeypatch.setenv("LOCALASSIST_SANDBOX__ENVIRONMENT", KERNELS)
    return home


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that connects to another machine or looks one up."""

    def guarded(original: Callable[..., Any]) -> Callable[..., Any]:
        def connect(self: socket.socket, address: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6):
                _require_loopback(address[0])
            return original(self, address)

        return connect

    def look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        _require_loopback(host)
        return original_look_up(host, *args, **kwargs)

    original_look_up = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(socket.socket, "connect", guarded(socket.socket.connect))
    monkeypatch.setattr(socket.socket, "connect_ex", guarded(socket.socket.connect_ex))


def _require_loopback(host: str | bytes | None) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost", "0.0.0.0", "::"):
        return
    try:
        is_loopback = ipaddress.ip_address(name).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise AssertionError(f"this test reached for the network: {name}")
