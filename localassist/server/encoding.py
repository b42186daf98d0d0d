"""Values → JSON text, the same way everywhere in the server."""

from __future__ import annotations

import json
from typing import Any

_encode = json.JSONEncoder(separators=(",", ":")).encode  # ``dumps`` makes an encoder per call


def to_json(value: Any) -> str:
    """JSON on one line without spaces, ASCII only.

    ASCII because old clients split event streams at every Unicode line separator, and because a
    caller's lone surrogate, echoed in an error text, has no UTF-8 form.
    """
    return _encode(value)
