"""Who is calling: the API key of a request, and the project that it opens.

Keys of the configuration open the default project, keys of the data folder each their own. Without
either everybody is let in. Keys are compared in constant time and never echoed beyond a few
characters.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence

from pydantic import SecretStr

from localassist.errors import AuthenticationFailed
from localassist.services.keys import Keys

_MISSING = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header "
    "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY), or as the password field (with blank "
    "username) if you're accessing the API from your browser and are prompted for a username and "
    "password."
)


class Gate:
    """Lets callers in. ``configured`` keys open the default project; without ``keys`` nobody is
    asked: the caller is this process itself."""

    def __init__(
        self, default_project: str, configured: Sequence[SecretStr] = (), keys: Keys | None = None
    ) -> None:
        self._default_project = default_project
        self._configured = [key.get_secret_value().encode() for key in configured]
        self._keys = keys

    async def project_for(self, authorization: str | None) -> str:
        """The id of the project that an ``Authorization`` header opens. Raises
        AuthenticationFailed."""
        if self._keys is None or not (self._configured or await self._keys.are_asked_for()):
            return self._default_project
        offered = _offered_key(authorization or "")
        if not offered:
            raise AuthenticationFailed(_MISSING)
        # Every key is compared, so that time does not tell which one nearly matched.
        sent = offered.encode("utf-8", "surrogateescape")
        matches = [hmac.compare_digest(sent, key) for key in self._configured]
        project = await self._keys.project_of(offered)
        if any(matches):
            return self._default_project
        if project is None:
            raise AuthenticationFailed(
                f"Incorrect API key provided: '{mask(offered)}'.", code="invalid_api_key"
            )
        return project


def mask(key: str) -> str:
    """Enough of a key to recognise one's own, too little to use it."""
    if len(key) < 12:
        return "*" * len(key)
    return f"{key[:3]}{'*' * (len(key) - 7)}{key[-4:]}"


def _offered_key(authorization: str) -> str:
    scheme, _, credentials = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
