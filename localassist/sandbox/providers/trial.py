"""A box in which a provider tries out whether it works."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localassist.sandbox.limits import Limits
from localassist.sandbox.providers.base import Box, Provider


@contextmanager
def trial_box(provider: Provider, environment: Path, python_base: Path) -> Iterator[Box]:
    """As for a kernel of the provider, gone when the block ends. Raises SandboxUnavailable."""
    uid = provider.owner_uid()
    with tempfile.TemporaryDirectory(prefix="localassist-trial-") as name:
        folder = Path(name)
        # Below /tmp for a user that may enter nothing else.
        folder.chmod(0o711)
        data = folder / "data"
        data.mkdir(mode=0o700)
        if uid is not None:
            os.chown(data, uid, uid)
        yield Box(folder, data, environment, python_base, Limits.of(provider.settings))
