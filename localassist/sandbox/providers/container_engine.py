"""podman and docker as programs: what they say of themselves, and the image of kernels."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any, Literal

from localassist.errors import SandboxUnavailable
from localassist.sandbox.providers.container_image import image_name

EngineName = Literal["podman", "docker"]
ANSWER_SECONDS = 30.0
_PASSED_ON = ("PATH", "XDG_RUNTIME_DIR", "DOCKER_HOST", "DOCKER_CONTEXT", "CONTAINERS_CONF")


class Engine:
    """One of the programs. Raises SandboxUnavailable where it is missing or does not answer."""

    def __init__(self, kind: EngineName) -> None:
        self.kind = kind

    @functools.cached_property
    def program(self) -> str:
        found = shutil.which(self.kind)
        if found is None:
            raise SandboxUnavailable(f"{self.kind} is not installed.")
        return found

    @functools.cached_property
    def environment(self) -> dict[str, str]:
        """What the program needs to know of its surroundings, and nothing else."""
        home = os.path.expanduser("~")
        return {"HOME": home, **{k: os.environ[k] for k in _PASSED_ON if k in os.environ}}

    @functools.cached_property
    def is_rootless(self) -> bool:
        info = self._information
        if self.kind == "podman":
            return bool(info.get("host", {}).get("security", {}).get("rootless"))
        return any("rootless" in option for option in info.get("SecurityOptions") or ())

    @functools.cached_property
    def _information(self) -> dict[str, Any]:
        done = self.run(["info", "--format={{json .}}"])
        found = json.loads(done.stdout) if done.returncode == 0 else {}
        # The docker client answers without a daemon, with an error inside.
        if done.returncode or found.get("ServerErrors"):
            said = last_line(done.stderr) or "; ".join(found.get("ServerErrors") or ())
            raise SandboxUnavailable(f"{self.kind} does not answer: {said}")
        return dict(found)

    def run(
        self, arguments: Sequence[str], *, given: bytes = b"", seconds: float = ANSWER_SECONDS
    ) -> subprocess.CompletedProcess[bytes]:
        """Raises SandboxUnavailable where it cannot be started or takes too long."""
        try:
            return subprocess.run(
                [self.program, *arguments],
                input=given,
                capture_output=True,
                timeout=seconds,
                env=self.environment,
                cwd="/",
            )
        except subprocess.TimeoutExpired:
            raise SandboxUnavailable(
                f"{self.kind} {arguments[0]} has not answered for {seconds:.0f} s."
            ) from None
        except OSError as error:
            raise SandboxUnavailable(f"{self.program} cannot be started: {error}") from error

    def image(self, tar: bytes) -> str:
        """Its name, imported where it is not there yet."""
        name = image_name(tar)
        if self.run(["image", "inspect", "--format={{.Id}}", name]).returncode:
            done = self.run(["import", "-", name], given=tar)
            if done.returncode:
                raise SandboxUnavailable(
                    f"{self.kind} cannot make an image: {last_line(done.stderr)}"
                )
        return name


def last_line(text: bytes) -> str:
    lines = text.decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip() if lines else ""


_HINTS = {
    "is not installed": "Install it, or use bubblewrap.",
    "hybrid mode": 'Set sandbox.container_runtime to "runc": crun refuses this layout of cgroups.',
    "newuidmap": "Give the user a range of further users: usermod --add-subuids 100000-165535 "
    "--add-subgids 100000-165535 NAME",
    "docker.sock": "Start docker and let this user ask it (group docker), or use podman.",
    "Docker daemon": "Start docker and let this user ask it (group docker), or use podman.",
    "runtime": "sandbox.container_runtime has to name a runtime that is installed.",
    "rlimit": "Start localassist with higher limits (ulimit -Hn, ulimit -Hu).",
}


def hint(kind: EngineName, reason: str) -> str:
    """What an operator can do about what the engine said."""
    found = (advice for words, advice in _HINTS.items() if words in reason)
    return next(found, f"Try by hand: {kind} run --rm --network none {{IMAGE}} true")
