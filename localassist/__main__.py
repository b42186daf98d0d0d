"""``python -m localassist``."""

from __future__ import annotations

import sys


def main() -> None:
    """What ``localassist`` does, said in a word when it is stopped while it is still loading."""
    try:
        from localassist.cli.main import main as run
    except KeyboardInterrupt:
        sys.exit(_say_stopped())
    run()


def _say_stopped() -> int:
    print("localassist: Stopped.", file=sys.stderr)
    return 130


if __name__ == "__main__":
    main()
