"""API keys: made, listed, revoked, and asked for at the door.

A key has 190 random bits, so its SHA-256 says nothing about it and needs neither salt nor a slow
hash: there is no dictionary of such keys.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import string
from collections.abc import Mapping

from localassist import clock
from localassist.errors import InvalidRequest
from localassist.storage import api_keys
from localassist.storage.api_keys import ApiKey
from localassist.storage.database import Database

_ALPHABET = string.ascii_letters + string.digits
_PREFIX, _LENGTH, _SHOWN = "sk-local-", 32, 4
_LONGEST_NAME = 64
# How long a key may still open a door after it was revoked by another process.
_FRESH_SECONDS = 1.0


class Keys:
    """The keys of a data folder."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: Mapping[str, str | None] = {}
        self._known_until = 0.0

    async def create(self, name: str, project: str) -> tuple[ApiKey, str]:
        """A new key, and the only chance to see it. Raises InvalidRequest when the name is taken or
        cannot be one."""
        for what, text in (("name", name), ("project", project)):
            if not text.strip() or not text.isprintable() or len(text) > _LONGEST_NAME:
                raise InvalidRequest(
                    f"A {what} has 1 to {_LONGEST_NAME} printable characters.", param=what
                )
        secret = _PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
        digest = _digest(secret)
        made = await self._database.write(
            lambda session: api_keys.insert(session, name, project, digest, secret[-_SHOWN:])
        )
        self._known_until = 0.0
        return made, secret

    async def list(self) -> list[ApiKey]:
        return await self._database.read(api_keys.all_keys)

    async def revoke(self, wanted: str) -> ApiKey:
        """Raises ResourceNotFound and InvalidRequest."""
        revoked = await self._database.write(lambda session: api_keys.revoke(session, wanted))
        self._known_until = 0.0
        return revoked

    async def are_asked_for(self) -> bool:
        """Whether any key was ever made: from then on nobody comes in without one, also after the
        last one was revoked."""
        return bool(await self._current())

    async def project_of(self, key: str) -> str | None:
        """The id of the project that a key opens. All keys are compared, each in constant time."""
        offered, opened = _digest(key), None
        for digest, project in (await self._current()).items():
            if hmac.compare_digest(offered, digest):
                opened = project
        return opened

    async def _current(self) -> Mapping[str, str | None]:
        if clock.monotonic() >= self._known_until:
            self._known = await self._database.read(api_keys.digests)
            self._known_until = clock.monotonic() + _FRESH_SECONDS
        return self._known


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
