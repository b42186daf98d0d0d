"""Object ids in the hosted API's forms: a prefix and random base62 characters.

``file-`` has a hyphen, all others an underscore.
"""

from __future__ import annotations

import secrets
import string
from typing import Literal

Kind = Literal[
    "assistant",
    "thread",
    "message",
    "run",
    "step",
    "call",
    "file",
    "chat_completion",
    "request",
    "vector_store",
    "file_batch",
    "upload",
    "part",
    "api_key",
    "project",
]

_ALPHABET = string.ascii_letters + string.digits
_LENGTH = 24
PREFIXES: dict[Kind, str] = {
    "assistant": "asst_",
    "thread": "thread_",
    "message": "msg_",
    "run": "run_",
    "step": "step_",
    "call": "call_",
    "file": "file-",
    "chat_completion": "chatcmpl-",
    "request": "req_",
    "vector_store": "vs_",
    "file_batch": "vsfb_",
    "upload": "upload_",
    "part": "part_",
    "api_key": "key_",
    "project": "proj_",
}


def new_id(kind: Kind) -> str:
    """A fresh id: ``asst_`` + 24 base62 characters; ``req_`` and ``vsfb_`` + 32 hex digits."""
    if kind in ("request", "file_batch"):
        return PREFIXES[kind] + secrets.token_hex(16)
    return PREFIXES[kind] + "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
