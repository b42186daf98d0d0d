"""Kernels under Landlock, a filter on system calls and limits: where no namespaces can be made.

Weaker than bubblewrap, and only used when it is named. Everything that it does not cover and an
operator should know stands in the verdict.
"""

from __future__ import annotations

import functools
import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING

from localassist.errors import SandboxUnavailable
from localassist.sandbox.environment import Environment
from localassist.sandbox.providers import landlock_calls
from localassist.sandbox.providers.base import Provider
from localassist.sandbox.providers.landlock_rules import abi, ruleset
from localassist.sandbox.providers.local_view import View, may_mount, view_of
from localassist.sandbox.providers.seccomp import assemble, supported
from localassist.sandbox.providers.supervision import Confinement, plan, tried
from localassist.sandbox.providers.trial import trial_box
from localassist.sandbox.verdict import Verdict

if TYPE_CHECKING:
    from localassist.sandbox.providers.provisioner import BoxProvisioner

FIX = (
    "Use a kernel from 6.2 on with landlock among the modules of /sys/kernel/security/lsm, or "
    "another provider."
)
# Reads what it must not, then writes what it may: 0 is good, the others say what went wrong.
_CHECK = """
import socket, sys
try:
    open("/etc/passwd").close()
except PermissionError:
    pass
else:
    sys.exit(3)
try:
    socket.socket()
except OSError:
    pass
else:
    sys.exit(4)
open("written", "w").close()
"""
_MEANING = {
    3: "A file outside the kernel's folder could be read.",
    4: "A socket could be made.",
}


class Landlock(Provider):
    name = "landlock"
    level = "reduced"
    protections = {
        "landlock": "Files, TCP and signals beyond the kernel's own are refused.",
        "seccomp": "System calls that kernels do not need are refused, all sockets among them.",
        "unprivileged-uid": "A service that is root starts kernels as another user.",
    }

    def probe(self, environment: Environment | None) -> Verdict:
        version = abi()
        try:
            uid = self.owner_uid()
        except SandboxUnavailable as error:
            return Verdict(self.name, self.level, False, (error.message,))
        reason = refusal(version, uid)
        if reason is None and environment is not None:
            reason = self._try(environment, uid)
        if reason is not None:
            return Verdict(self.name, self.level, False, (reason,), FIX)
        return Verdict(self.name, self.level, True, gaps(version, uid, may_mount()))

    def provisioner_class(self) -> type[BoxProvisioner]:
        return _provisioner_class()

    def _try(self, environment: Environment, uid: int | None) -> str | None:
        """What went wrong with a small program in the environment's Python."""
        with ExitStack() as kept:
            box = kept.enter_context(trial_box(self, environment.folder, environment.python_base))
            try:
                view = view_of(box, uid, kept)
                how = confinement(view, uid)
                command = [str(environment.python), "-I", "-S", "-c", _CHECK]
                status, said = tried(plan(how, command, {}, view.places.data))
            except (SandboxUnavailable, OSError, subprocess.TimeoutExpired) as error:
                return f"A kernel could not be confined: {error}"
        return None if status == 0 else _MEANING.get(status, f"A trial failed: {said}")


def refusal(version: int, uid: int | None) -> str | None:
    """Why this version of Landlock cannot be used; ``uid`` is the kernels' own user, None where
    they share the service's."""
    if not supported():
        return "There is no filter on system calls for this processor."
    if version == 0:
        return "This system has no Landlock, or it is switched off."
    if version < 3 and uid is None:
        return (
            f"Version {version} of Landlock does not keep code from emptying files of its own "
            "user, and that is the user of localassist."
        )
    return None


def gaps(version: int, uid: int | None, own_view: bool) -> tuple[str, ...]:
    """What is not covered, in sentences."""
    found = [
        "Names, sizes and dates of files anywhere can be asked for.",
        "The number of processes is watched, not limited, and processes are numbered as on the "
        "machine.",
        "Changing permissions, owners or dates of files by their names has no effect.",
    ]
    if version < 6:
        whose = "localassist and of " if uid is None else ""
        found.append(f"Signals can be sent to processes of {whose}other kernels.")
    if not (own_view and uid is not None):
        found.append("There is no /mnt/data: code finds its files in the folder it starts in.")
    return tuple(found)


def confinement(view: View, uid: int | None, without: frozenset[str] = frozenset()) -> Confinement:
    """Raises SandboxUnavailable where a kernel must not be started."""
    version = abi()
    reason = refusal(version, uid)
    if reason is not None:
        raise SandboxUnavailable(reason)
    rules = ruleset(version, read=view.readable, write=view.writable)
    landlock = {"ruleset": rules.attributes.hex(), "rules": [list(rule) for rule in rules.rules]}
    return Confinement(
        uid=uid,
        mounts=view.mounts,
        landlock=None if "landlock" in without else landlock,
        seccomp=() if "seccomp" in without else (assemble(), landlock_calls.assemble()),
    )


@functools.cache
def _provisioner_class() -> type[BoxProvisioner]:
    from localassist.sandbox.providers.supervised import LocalProvisioner

    class LandlockProvisioner(LocalProvisioner):
        def confinement(self, view: View, uid: int | None) -> Confinement:
            return confinement(view, uid, self.box.without)

    return LandlockProvisioner
