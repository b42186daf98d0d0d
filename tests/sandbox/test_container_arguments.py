"""What podman and docker are asked for, and the image they are handed."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.limits import Limits
from localassist.sandbox.providers.container_arguments import ContainerPlan, container_command
from localassist.sandbox.providers.container_image import image_name, image_tar

LINKS = {"/bin": "usr/bin", "/lib64": "usr/lib64"}


def plan(**changes: Any) -> ContainerPlan:
    known: dict[str, Any] = {
        "engine": "podman",
        "program": "/usr/bin/podman",
        "runtime": None,
        "name": "localassist-sandbox-1",
        "image": "localhost/localassist-sandbox:1",
        "user": "1001:1001",
        "keep_id": False,
        "limits": Limits.of(SandboxSettings(memory_mb=300, processes=50)),
        "has_cgroup": True,
        "read_only": [Path("/usr"), Path("/kernels")],
        "data": Path("/home/sessions/1/data"),
        "meeting": Path("/home/sessions/1/guest"),
        "command": ["/kernels/bin/python", "supervise.py"],
    }
    return ContainerPlan(**{**known, **changes})


def test_what_every_container_is_denied() -> None:
    for engine in ("podman", "docker"):
        told = container_command(plan(engine=engine))
        assert {
            "--rm",
            "--pull=never",
            "--network=none",
            "--read-only",
            "--cap-drop=ALL",
            "--security-opt=no-new-privileges",
            "--user=1001:1001",
            "--memory=300m",
            "--memory-swap=300m",
            "--pids-limit=50",
        } <= set(told)
        assert not any(word.startswith(("--privileged", "--publish", "--env")) for word in told)


def test_only_data_can_be_written() -> None:
    mounts = [word for word in container_command(plan()) if word.startswith("--mount=")]
    writable = [word for word in mounts if not word.endswith(",ro=true")]
    assert writable == ["--mount=type=bind,source=/home/sessions/1/data,target=/mnt/data"]
    sources = {word.split("source=")[1].split(",")[0] for word in mounts}
    assert sources == {"/usr", "/kernels", "/home/sessions/1/data", "/home/sessions/1/guest"}


def test_the_command_gets_no_variable_of_the_engine() -> None:
    told = container_command(plan())
    after_image = told[told.index("localhost/localassist-sandbox:1") + 1 :]
    assert after_image == ["/usr/bin/env", "-i", "/kernels/bin/python", "supervise.py"]


def test_a_runtime_stands_where_each_engine_wants_it() -> None:
    podman = container_command(plan(runtime="runc"))
    assert podman[:4] == ["/usr/bin/podman", "--runtime", "runc", "run"]
    docker = container_command(plan(engine="docker", program="/usr/bin/docker", runtime="runsc"))
    assert docker[:4] == ["/usr/bin/docker", "run", "--runtime", "runsc"]


def test_what_only_podman_knows() -> None:
    only_podman = {"--no-hosts", "--http-proxy=false", "--read-only-tmpfs=false"}
    assert only_podman <= set(container_command(plan(keep_id=True)))
    assert "--userns=keep-id" in container_command(plan(keep_id=True))
    assert not only_podman & set(container_command(plan(engine="docker")))
    assert any("mask=/sys:" in word for word in container_command(plan()))


def test_without_control_groups_no_limits_are_asked_for() -> None:
    told = container_command(plan(has_cgroup=False))
    assert not any(word.startswith(("--memory", "--pids-limit")) for word in told)


def test_a_protection_that_is_left_out_is_gone() -> None:
    everything = container_command(plan())
    for name, words in {
        "network-namespace": {"--network=none"},
        "read-only-root": {"--read-only"},
        "capabilities": {"--cap-drop=ALL"},
        "memory-cgroup": {"--memory=300m", "--memory-swap=300m"},
        "processes-cgroup": {"--pids-limit=50"},
    }.items():
        told = container_command(plan(without=frozenset({name})))
        assert set(everything) - set(told) == words


def test_the_image_is_small_and_always_the_same() -> None:
    tar = image_tar(1001, 1002, LINKS)
    assert tar == image_tar(1001, 1002, LINKS)
    assert image_name(tar).startswith("localhost/localassist-sandbox:")
    assert image_name(tar) != image_name(image_tar(1001, 1001, LINKS))
    with tarfile.open(fileobj=io.BytesIO(tar)) as image:
        assert image.getmember("bin").linkname == "usr/bin"
        assert image.getmember("tmp").mode == image.getmember("home/sandbox").mode == 0o1777
        passwd = image.extractfile("etc/passwd")
        assert passwd is not None
        assert b"sandbox:x:1001:1002:" in passwd.read()
    assert len(tar) < 64 << 10
