"""Kernels in containers of podman or docker, for operators who have one of them and name it.

No image is pulled, no network is made. Beside what the engine does, the filter on system calls and
the limits of our own are set inside.
"""

from __future__ import annotations

import os
import secrets
import select
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from localassist.errors import SandboxUnavailable
from localassist.sandbox.providers.base import Box, Provider
from localassist.sandbox.providers.bubblewrap_arguments import Layout, is_system
from localassist.sandbox.providers.container_arguments import ContainerPlan, container_command
from localassist.sandbox.providers.container_engine import Engine, EngineName, hint, last_line
from localassist.sandbox.providers.container_image import image_tar
from localassist.sandbox.providers.container_meeting import Meeting
from localassist.sandbox.providers.seccomp import assemble, supported
from localassist.sandbox.providers.startup import DATA
from localassist.sandbox.providers.supervision import FIRST_DESCRIPTOR, Confinement, head, plan
from localassist.sandbox.providers.trial import trial_box
from localassist.sandbox.verdict import Verdict

if TYPE_CHECKING:
    from localassist.sandbox.config import SandboxSettings
    from localassist.sandbox.environment import Environment
    from localassist.sandbox.providers.provisioner import BoxProvisioner

NAME_PREFIX = "localassist-sandbox-"
START_SECONDS = 30.0
# Said by engines that start a container nevertheless.
_LIMITS_IGNORED = ("limits are not supported", "does not support", "Limitation discarded")
_CHECK = f"import os; os.write({FIRST_DESCRIPTOR}, b'ok')"


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found out about the engine by starting a container. ``no_cgroup`` says why there
    are no limits by control group; None where there are."""

    image: str
    user: str
    keep_id: bool
    no_cgroup: str | None


class Container(Provider):
    """What podman and docker share."""

    level = "strong"
    protections = {
        "seccomp": "System calls that kernels do not need are refused, all sockets among them.",
        "network-namespace": "There is no network.",
        "read-only-root": "Nothing but /mnt/data, /tmp and the home folder can be written.",
        "capabilities": "The kernel holds no capability.",
        "proc-masks": "Under podman, /sys and files of /proc about the machine are empty.",
        "memory-cgroup": "The engine's control group holds the memory of all processes.",
        "processes-cgroup": "The engine's control group holds the number of processes.",
        "unprivileged-uid": "A service that is root starts kernels as another user.",
    }
    engine_name: ClassVar[EngineName]

    def __init__(self, settings: SandboxSettings) -> None:
        super().__init__(settings)
        self.engine = Engine(self.engine_name)
        self._facts: Facts | None = None

    def provisioner_class(self) -> type[BoxProvisioner]:
        from localassist.sandbox.providers.container_provisioner import provisioner_for

        return provisioner_for(self)

    def probe(self, environment: Environment | None) -> Verdict:
        if environment is None:
            reason = "There is no environment for kernels to try it with."
            return Verdict(self.name, self.level, False, (reason,))
        try:
            facts = self.facts(environment.folder, environment.python_base)
        except SandboxUnavailable as error:
            reason = error.message
            return Verdict(self.name, self.level, False, (reason,), hint(self.engine_name, reason))
        return Verdict(self.name, self.level, True, self._reservations(facts))

    def _reservations(self, facts: Facts) -> tuple[str, ...]:
        found = []
        if facts.no_cgroup is not None:
            found.append(
                f"{self.name} cannot limit memory and processes ({facts.no_cgroup}): they are "
                "limited by the watchdog and inside."
            )
        if self.engine_name == "docker":
            found.append("Facts about the machine can be read in /sys and /proc.")
        return tuple(found)

    def facts(self, environment: Path, python_base: Path) -> Facts:
        """Remembered once a container could be started. Blocks. Raises SandboxUnavailable."""
        if self._facts is None:
            self._facts = self._found_out(environment, python_base)
        return self._facts

    def _found_out(self, environment: Path, python_base: Path) -> Facts:
        if not supported():
            raise SandboxUnavailable("There is no filter on system calls for this processor.")
        uid, gid = self._user()
        image = self.engine.image(image_tar(uid, gid, Layout.of_this_machine().links))
        keep_id = self.engine_name == "podman" and self.engine.is_rootless
        facts = Facts(image, f"{uid}:{gid}", keep_id, None)
        try:
            said = self._try(environment, python_base, facts)
        except SandboxUnavailable as error:
            said = error.message
            facts = Facts(image, facts.user, keep_id, said)
            self._try(environment, python_base, facts)
        else:
            if any(words in said for words in _LIMITS_IGNORED):
                facts = Facts(image, facts.user, keep_id, said)
        return facts

    def _user(self) -> tuple[int, int]:
        """The user and group inside. In a rootless docker, root inside is the service's user."""
        uid = self.owner_uid()
        if uid is not None:
            return uid, uid
        if self.engine_name == "docker" and self.engine.is_rootless:
            return 0, 0
        return os.geteuid(), os.getegid()

    def command(self, box: Box, facts: Facts, meeting: Meeting, name: str) -> list[str]:
        """What starts the container, with the engine's own surroundings and no others."""
        layout = Layout.of_this_machine()
        bound = ["/usr", *layout.folders, *(f"/etc/{name}" for name in sorted(layout.etc))]
        own = [path for path in (box.python_base, box.environment) if not is_system(path)]
        told = container_command(
            ContainerPlan(
                engine=self.engine_name,
                program=self.engine.program,
                runtime=self.settings.container_runtime,
                name=name,
                image=facts.image,
                user=facts.user,
                keep_id=facts.keep_id,
                limits=box.limits,
                has_cgroup=facts.no_cgroup is None,
                read_only=[*map(Path, bound), *own],
                data=box.data,
                meeting=meeting.folder,
                command=meeting.command(box.environment),
                without=box.without,
            )
        )
        variables = [f"{name}={value}" for name, value in self.engine.environment.items()]
        return ["/usr/bin/env", "-i", *variables, *told]

    def _try(self, environment: Path, python_base: Path, facts: Facts) -> str:
        """Start a container whose Python answers through a descriptor that it was handed. Returns
        what the engine said beside. Raises SandboxUnavailable."""
        with trial_box(self, environment, python_base) as box:
            meeting = Meeting(box.folder / "guest")
            try:
                started = self.command(box, facts, meeting, new_name())
                return _answered(started, meeting, environment)
            finally:
                meeting.close()


class Podman(Container):
    name = "podman"
    engine_name = "podman"


class Docker(Container):
    name = "docker"
    engine_name = "docker"


def new_name() -> str:
    return f"{NAME_PREFIX}{secrets.token_hex(8)}"


def confinement(without: frozenset[str]) -> Confinement:
    return Confinement(seccomp=() if "seccomp" in without else (assemble(),))


def _answered(command: list[str], meeting: Meeting, environment: Path) -> str:
    check = [f"{environment}/bin/python", "-I", "-S", "-c", _CHECK]
    told = plan(confinement(frozenset()), check, {}, DATA, [FIRST_DESCRIPTOR])
    reader, writer = os.pipe()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/"
    )
    try:
        supervisor = _accepted(meeting.listener, process)
        if supervisor is not None:
            with supervisor:
                supervisor.sendmsg(*head(told, [writer]))
                supervisor.sendall(told)
                supervisor.settimeout(START_SECONDS)
                supervisor.recv(1)
                process.wait(START_SECONDS)
        os.close(writer)
        answer = os.read(reader, 2)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SandboxUnavailable(f"A container did not come up: {error}") from error
    finally:
        os.close(reader)
        process.kill()
        said = last_line(process.communicate()[0])
    if answer != b"ok":
        raise SandboxUnavailable(f"A container did not come up: {said}")
    return said


def _accepted(listener: socket.socket, process: subprocess.Popen[bytes]) -> socket.socket | None:
    """None when the engine's program ended, or nobody came in time."""
    pidfd = os.pidfd_open(process.pid)
    try:
        ready, _, _ = select.select([listener.fileno(), pidfd], [], [], START_SECONDS)
    finally:
        os.close(pidfd)
    return listener.accept()[0] if listener.fileno() in ready else None
