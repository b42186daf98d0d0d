"""Whether bubblewrap works here: a tiny sandbox is started, and what it says is looked at."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from contextlib import ExitStack
from pathlib import Path

from localassist.errors import SandboxUnavailable
from localassist.sandbox.environment import Environment
from localassist.sandbox.providers import startup
from localassist.sandbox.providers.base import Provider
from localassist.sandbox.providers.bubblewrap import bwrap_path, sandboxed
from localassist.sandbox.providers.bubblewrap_causes import (
    Cause,
    Machine,
    install_hint,
    why_it_failed,
    why_too_old,
)
from localassist.sandbox.providers.seccomp import supported
from localassist.sandbox.providers.trial import trial_box
from localassist.sandbox.verdict import Verdict

PROBE_SECONDS = 20.0
STATUS = "/proc/self/status"

# Lines of it that say whether the walls stand.
EXPECTED = {
    "Seccomp": ("2", "system calls are not filtered"),
    "NoNewPrivs": ("1", "programs could gain rights"),
    "CapEff": ("0" * 16, "the kernel would hold capabilities"),
    "CapBnd": ("0" * 16, "the kernel could gain capabilities"),
}


def probe(provider: Provider, environment: Environment | None) -> Verdict:
    """See ``Provider.probe``."""
    try:
        reservations = _tried(provider, environment)
    except _Refused as refused:
        cause = refused.cause
        return Verdict(provider.name, "none", False, (cause.reason,), cause.hint)
    return Verdict(provider.name, provider.level, True, reservations)


class _Refused(Exception):
    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.reason)
        self.cause = cause


def _tried(provider: Provider, environment: Environment | None) -> tuple[str, ...]:
    """Reservations about what works. Raises _Refused."""
    if platform.system() != "Linux":
        reason = f"bubblewrap needs Linux; this is {platform.system()}."
        raise _Refused(Cause(reason, "Run localassist in a Linux container or virtual machine."))
    if not supported():
        raise _Refused(Cause(f"There is no table of system calls for {platform.machine()}."))
    try:
        bwrap = bwrap_path()
        uid = provider.owner_uid()
    except SandboxUnavailable as error:
        machine = Machine.this()
        is_missing = "bwrap" in error.message
        raise _Refused(
            Cause(error.message, install_hint(machine) if is_missing else None)
        ) from error
    machine = Machine.this()
    too_old = why_too_old(_version(bwrap), machine)
    if too_old is not None:
        raise _Refused(too_old)
    status = _status_inside(provider, uid, environment, machine)
    for name, (expected, consequence) in EXPECTED.items():
        if status.get(name) != expected:
            raise _Refused(
                Cause(f"The sandbox starts, but {consequence}: {name} is not {expected}.")
            )
    return _reservations(uid)


def _status_inside(
    provider: Provider, uid: int | None, environment: Environment | None, machine: Machine
) -> dict[str, str]:
    """/proc/self/status of a process in a sandbox that is made like every other."""
    folder = base = Path("/usr")
    command = ["/usr/bin/cat", STATUS]
    if environment is not None:
        folder, base = environment.folder, environment.python_base
        command = [str(environment.python), "-I", "-c", f"print(open('{STATUS}').read())"]
    with trial_box(provider, folder, base) as box, ExitStack() as held:
        reader, info = os.pipe2(os.O_CLOEXEC)
        held.callback(os.close, reader)
        held.callback(os.close, info)
        told, descriptors = sandboxed(
            command, box, uid=uid, files={}, info_descriptor=info, held=held
        )
        try:
            done = subprocess.run(
                told,
                env={},
                cwd="/",
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=PROBE_SECONDS,
                pass_fds=descriptors,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired as error:
            raise _Refused(Cause(f"A sandbox was not up within {PROBE_SECONDS:g} s.")) from error
    if done.returncode != 0:
        raise _Refused(why_it_failed(done.stderr, machine))
    lines = (line.partition(":") for line in done.stdout.splitlines())
    return {name: value.strip() for name, _, value in lines}


def _version(bwrap: str) -> tuple[int, ...]:
    said = subprocess.run([bwrap, "--version"], capture_output=True, text=True, timeout=10).stdout
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", said)
    return tuple(int(number) for number in found.groups() if number) if found else (0,)


def _reservations(uid: int | None) -> tuple[str, ...]:
    result = []
    if uid is not None:
        result.append(f"localassist runs as root; kernels run as user {uid}.")
    if not startup.counts_processes_by_namespace():
        result.append(
            "Linux before 5.14 counts processes over the whole user: a kernel with too many is "
            "found by looking at it, not refused the next one."
        )
    return tuple(result)
