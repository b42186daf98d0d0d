"""The composition root: builds everything, wires it, and closes it in order.

The only place where concrete classes of different packages meet. Whatever talks to localassist,
over HTTP, in process or from the command line, talks to a ``Runtime``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from localassist.lazy import exports

if TYPE_CHECKING:
    from localassist.runtime.folder import (
        open_archive,
        open_keys,
        open_records,
        open_retention,
        vacuum,
    )
    from localassist.runtime.runtime import Runtime, open_runtime

__all__ = [
    "Runtime",
    "open_archive",
    "open_keys",
    "open_records",
    "open_retention",
    "open_runtime",
    "vacuum",
]

_HOMES = {
    "Runtime": "localassist.runtime.runtime",
    "open_archive": "localassist.runtime.folder",
    "open_keys": "localassist.runtime.folder",
    "open_records": "localassist.runtime.folder",
    "open_retention": "localassist.runtime.folder",
    "open_runtime": "localassist.runtime.runtime",
    "vacuum": "localassist.runtime.folder",
}


__getattr__ = exports(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
