"""Starts the installer, which is part of localassist's own wheel, once that wheel was checked.

Copied to the top of every bundle. Standard library only.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path


def main() -> int:
    bundle = Path(__file__).resolve().parent
    try:
        sums = (bundle / "SHA256SUMS").read_text(encoding="utf-8", errors="replace")
        lines = [line.partition("  ") for line in sums.splitlines()]
        sha256, path = next(
            (sha256, path) for sha256, _, path in lines if path.startswith("wheels/localassist-")
        )
        content = (bundle / path).read_bytes()
    except StopIteration:
        return refuse("SHA256SUMS was changed: it does not list localassist.")
    except OSError as error:
        return refuse(f"the bundle is not complete: {error.filename}: {error.strerror}.")
    if hashlib.sha256(content).hexdigest() != sha256:
        return refuse(f"{path} or its line in SHA256SUMS was changed; nothing was installed.")
    sys.path.insert(0, str(bundle / path))
    try:
        from localassist.bundle.install.main import install_from

        return install_from(bundle, sys.argv[1:])
    except KeyboardInterrupt:  # before the installer sees to that itself
        refuse("interrupted; nothing was installed.")
        return 130


def refuse(message: str) -> int:
    plain = "".join(c if c.isprintable() else "?" for c in message)  # names of who knows whom
    print(f"install.sh: {plain}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
