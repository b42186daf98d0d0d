"""``python -m localassist``."""

from __future__ import annotations

from localassist.cli.main import main

if __name__ == "__main__":
    main()
