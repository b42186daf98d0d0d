"""The command line that starts one container. Pure: what podman and docker are asked for, as data.

Limits of memory and processes are the engine's cgroup where it can make one. All other limits are
set inside by the guest's start program.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from localassist.sandbox.limits import Limits
from localassist.sandbox.providers.bubblewrap_arguments import (
    HOME_MB,
    PROC_FILES,
    PROC_FOLDERS,
    SHM_MB,
    TMP_MB,
)
from localassist.sandbox.providers.container_engine import EngineName
from localassist.sandbox.providers.startup import DATA, GUEST, HOME

LABEL = "localassist.sandbox"

_OPEN_FILES = 512
# Of all kernels together, as the kernel counts by user. Both are set because an engine's own
# defaults may be more than it is allowed to give.
_USER_PROCESSES = 4096
# What tells about the machine. Runtimes pass over what a kernel does not have.
_MASKED = ":".join(["/sys", *(f"/proc/{name}" for name in (*PROC_FILES, *PROC_FOLDERS))])


@dataclass(frozen=True, slots=True)
class ContainerPlan:
    """What differs from one container to the next. ``user`` is ``uid:gid`` inside; ``keep_id``:
    the service's user is the same user inside (rootless podman). ``read_only`` are host paths that
    lie at the same place inside."""

    engine: EngineName
    program: str
    runtime: str | None
    name: str
    image: str
    user: str
    keep_id: bool
    limits: Limits
    has_cgroup: bool
    read_only: Sequence[Path]
    data: Path
    meeting: Path
    command: Sequence[str]
    without: frozenset[str] = frozenset()


def container_command(plan: ContainerPlan) -> list[str]:
    runtime = [] if plan.runtime is None else ["--runtime", plan.runtime]
    podman = plan.engine == "podman"
    return [
        *(plan.program, *(runtime if podman else ()), "run", *(() if podman else runtime)),
        *("--rm", "--pull=never", "--log-driver=none"),
        *(f"--name={plan.name}", f"--label={LABEL}", "--hostname=sandbox"),
        *_isolation(plan),
        *_limits(plan),
        *_mounts(plan),
        *(f"--workdir={DATA}", "--entrypoint=", plan.image),
        *("/usr/bin/env", "-i", *plan.command),
    ]


def _isolation(plan: ContainerPlan) -> list[str]:
    protections = {
        "network-namespace": ["--network=none"],
        "read-only-root": ["--read-only"],
        "capabilities": ["--cap-drop=ALL"],
        "no-new-privileges": ["--security-opt=no-new-privileges"],
    }
    arguments = [
        a for name, given in protections.items() if name not in plan.without for a in given
    ]
    # Labels would keep the container from the host's /usr; namespaces do what they are there for.
    arguments += ["--security-opt=label=disable", f"--user={plan.user}"]
    if plan.engine == "podman":
        arguments += ["--no-hosts", "--http-proxy=false", "--read-only-tmpfs=false"]
        if "proc-masks" not in plan.without:
            arguments.append(f"--security-opt=mask={_MASKED}")
    if plan.keep_id:
        arguments.append("--userns=keep-id")
    return arguments


def _limits(plan: ContainerPlan) -> list[str]:
    arguments = [
        f"--ulimit=nofile={_OPEN_FILES}:{_OPEN_FILES}",
        f"--ulimit=nproc={_USER_PROCESSES}:{_USER_PROCESSES}",
        "--ulimit=core=0:0",
        f"--shm-size={SHM_MB}m",
    ]
    if plan.has_cgroup and "memory-cgroup" not in plan.without:
        memory = f"{plan.limits.memory_mb}m"
        arguments += [f"--memory={memory}", f"--memory-swap={memory}"]
    if plan.has_cgroup and "processes-cgroup" not in plan.without:
        arguments.append(f"--pids-limit={plan.limits.processes}")
    return arguments


def _mounts(plan: ContainerPlan) -> list[str]:
    return [
        f"--tmpfs=/tmp:rw,nosuid,nodev,size={TMP_MB}m,mode=1777",
        f"--tmpfs={HOME}:rw,nosuid,nodev,size={HOME_MB}m,mode=1777",
        *(_bind(path, str(path), "ro=true") for path in plan.read_only),
        _bind(plan.meeting, GUEST, "ro=true"),
        _bind(plan.data, DATA),
    ]


def _bind(source: Path, target: str, *options: str) -> str:
    return "--mount=" + ",".join(("type=bind", f"source={source}", f"target={target}", *options))
