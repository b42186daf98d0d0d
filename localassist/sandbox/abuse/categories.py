"""All cases, by the category that commands and tables name."""

from __future__ import annotations

from collections.abc import Mapping

from localassist.sandbox.abuse import (
    disk,
    host_files,
    host_traps,
    kernel_surface,
    known,
    network,
    output,
    persistence,
    processes,
    resources,
)
from localassist.sandbox.abuse.case import Case

CATEGORIES: Mapping[str, tuple[Case, ...]] = {
    "files": host_files.CASES,
    "processes": processes.CASES,
    "kernel": kernel_surface.CASES,
    "network": network.CASES,
    "resources": resources.CASES,
    "disk": disk.CASES,
    "output": output.CASES,
    "traps": host_traps.CASES,
    "persistence": persistence.CASES,
    "known": known.CASES,
}
