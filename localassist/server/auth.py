"""Who is calling: the API key of a request against the configured ones.

Without configured keys everybody is let in. Keys are compared in constant time and never echoed
beyond a few characters. The key decides access, not ownership.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable

from pydantic import SecretStr

from localassist.errors import AuthenticationFailed

_MISSING = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header "
    "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY), or as the password field (with blank "
    "username) if you're accessing the API from your browser and are prompted for a username and "
    "password."
)


def check_api_key(authorization: str | None, api_keys: Iterable[SecretStr]) -> None:
    """Return when the ``Authorization`` header opens the door; raise AuthenticationFailed else."""
    known = [key.get_secret_value().encode() for key in api_keys]
    if not known:
        return
    offered = _offered_key(authorization or "")
    if not offered:
        raise AuthenticationFailed(_MISSING)
    # Every key is compared, so that time does not tell which one nearly matched.
    matches = [hmac.compare_digest(offered.encode(), key) for key in known]
    if not any(matches):
        raise AuthenticationFailed(
            f"Incorrect API key provided: '{mask(offered)}'.", code="invalid_api_key"
        )


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
