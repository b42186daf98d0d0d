"""What every answer must be, whatever was asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from localassist.schemas.errors import MAX_MESSAGE

ENVELOPE = {"message", "type", "param", "code"}
# Nothing of how the server is made or where it lies may show.
_INSIDE = ("Traceback (most", 'File "', "site-packages", "localassist/", "sqlalchemy", "sqlite3")


def check(status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any] | None:
    """The error of an answer, None of one that succeeded. Fails unless the server stood firm: no
    server error, and every refusal in the envelope, without a word about the inside."""
    assert status < 500, (status, body[:1000])
    assert headers["x-request-id"].startswith("req_")
    assert "location" not in headers
    if status < 400:
        return None
    assert status != 422
    assert headers["content-type"] == "application/json"
    told = json.loads(body)
    assert set(told) == {"error"} and set(told["error"]) == ENVELOPE, told
    error: dict[str, Any] = told["error"]
    assert isinstance(error["message"], str) and error["message"]
    assert error["type"] == "invalid_request_error" or status == 429
    assert all(error[key] is None or isinstance(error[key], str) for key in ("param", "code"))
    assert len(error["message"]) <= MAX_MESSAGE + 1, "the caller's words are repeated without end"
    assert not any(inside in error["message"] for inside in _INSIDE), error
    return error
