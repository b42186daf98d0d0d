"""Where the client programs find the API: inside this process, on a socket, in another process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import openai

from localassist import LocalAssist
from localassist.client import host
from localassist.settings import Settings, load_settings
from tests.server.serving import Stage, scripted
from tests.server.serving import on_socket as on_socket

ROOT = Path(__file__).resolve().parents[2]
MODEL = "scripted"
READY_SECONDS = 60

# Ids and paths are real; nothing opens the file, since a scripted engine stands in for it.
_MANIFEST = f"""
id = "{MODEL}"
kind = "chat"
sha256 = "{"0" * 64}"
size_bytes = 1
tool_mode = "native"
[source]
path = "/nowhere.gguf"
"""


def call(city: str) -> str:
    """What the scripted model writes to ask for the weather."""
    return (
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "' + city + '"}}\n</tool_call>'
    )


def scripted_settings(home: Path, **sections: dict[str, object]) -> Settings:
    """Settings whose hosted model names mean the scripted model, and whose polling is quick."""
    (home / "models").mkdir(parents=True, exist_ok=True)
    (home / "models" / "scripted.toml").write_text(_MANIFEST)
    runs = {"poll_seconds": 0.05, "flush_seconds": 0.005, **sections.get("runs", {})}
    server = {"port": 0, "poll_after_ms": 20, "keepalive_seconds": 0.2}
    models = {"default_chat": MODEL}
    more = {name: sections.get(name, {}) for name in ("sandbox", "storage")}
    return load_settings(home, environ={}, runs=runs, server=server, models=models, **more)


@contextmanager
def in_process(settings: Settings, stage: Stage) -> Iterator[openai.OpenAI]:
    """The client that users construct; only the models behind it are scripted."""
    with mock.patch.object(host, "open_runtime", scripted(stage)):
        client = LocalAssist(settings=settings)
    with client:
        yield client


class Server:
    """A server in a process of its own. ``command`` must say its URL on its first line."""

    def __init__(self, *command: str, environ: dict[str, str] | None = None) -> None:
        # Its own log goes to the test's: nothing may block on a pipe that nobody reads.
        self.process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=clean_environ() | (environ or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if "http://" not in line:
            self.kill()
            raise AssertionError(f"the server did not start: {line!r}")
        self.url = line[line.index("http://") :].split()[0]

    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=self.url, api_key="sk-local", max_retries=0)

    def kill(self) -> None:
        """End it without a warning, as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end, and insist."""
        self._end(signal.SIGTERM)
        assert self.process.returncode == 0

    def _end(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        try:
            self.process.wait(READY_SECONDS)
        finally:
            self.process.kill()
            assert self.process.stdout is not None
            self.process.stdout.close()


def serve(home: Path) -> Server:
    """``localassist serve`` as a user starts it, with the embedded model."""
    return Server("-m", "localassist", "--home", str(home), "serve", "--port", "0")


def clean_environ() -> dict[str, str]:
    """The environment without anything that would reconfigure the server or its clients."""
    hidden = ("LOCALASSIST_", "OPENAI_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
