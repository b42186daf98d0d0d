"""The schemas that this release knows: one for each file of ``migrations/versions``, whose names
begin with their numbers. What migrates is not loaded to know them."""

from __future__ import annotations

from pathlib import Path

MIGRATIONS = Path(__file__).parent / "migrations"


def known_revisions() -> list[str]:
    """All of them, the newest last."""
    files = (MIGRATIONS / "versions").glob("[0-9]*_*.py")
    return sorted(path.name.partition("_")[0] for path in files)


def newest_revision() -> str:
    """The schema of databases that this release works on."""
    return known_revisions()[-1]


def is_known_revision(revision: str | None) -> bool:
    """Whether this release can read a schema; of a newer one it cannot. None is an empty one."""
    return revision is None or revision in known_revisions()
