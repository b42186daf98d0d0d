"""Where the guest side lies: the top-level folder ``sandbox``, or its copy in an installed package.

What is in it runs inside the isolation and is never imported here.
"""

from __future__ import annotations

from pathlib import Path

import localassist


def guest_folder() -> Path:
    package = Path(localassist.__file__).resolve().parent
    in_wheel = package / "_shipped" / "sandbox"
    return in_wheel if in_wheel.is_dir() else package.parent / "sandbox"
