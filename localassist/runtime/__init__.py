"""The composition root: builds everything, wires it, and closes it in order.

The only place where concrete classes of different packages meet. Whatever talks to localassist,
over HTTP, in process or from the command line, talks to a ``Runtime``.
"""

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
