"""Runs code that nobody has read, in a Jupyter kernel that can reach nothing but its own folder.

``run_code`` and ``open_kernel`` do it for a program, with the settings of whoever runs it. They
read those settings, so they live further up, and come with their first use.
"""

from __future__ import annotations

from localassist.lazy import exports

__all__ = ["Image", "OpenKernel", "Result", "open_kernel", "run_code"]

_HOMES = {
    "Image": "localassist.sandbox.outputs",
    "OpenKernel": "localassist.sandbox.running",
    "Result": "localassist.sandbox.running",
    "open_kernel": "localassist.client.code",
    "run_code": "localassist.client.code",
}


__getattr__ = exports(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
