"""Files: the object and the checks on an upload's form fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, cast, get_args

from localassist.errors import InvalidRequest
from localassist.schemas import phrases
from localassist.schemas.base import WireModel, check_text

FilePurpose = Literal[
    "assistants",
    "assistants_output",
    "batch",
    "batch_output",
    "fine-tune",
    "fine-tune-results",
    "vision",
    "user_data",
    "evals",
]
UploadPurpose = Literal["fine-tune", "assistants", "batch", "user_data", "vision", "evals"]
FileStatus = Literal["uploaded", "processed", "error"]
MIN_EXPIRY_SECONDS, MAX_EXPIRY_SECONDS = 3600, 2_592_000


class File(WireModel):
    """``status`` and ``status_details`` are deprecated, but clients wait for ``processed``."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    filename: str
    purpose: FilePurpose
    status: FileStatus = "processed"
    status_details: str | None = None
    expires_at: int | None = None


def base_name(filename: str) -> str:
    """What a file is called, without the folders it had on its sender's disk."""
    name = filename.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return "upload" if name in ("", ".", "..") else name


def check_purpose(value: str | None) -> UploadPurpose:
    """The ``purpose`` field of an upload."""
    if value is None:
        raise InvalidRequest("'purpose' is a required property")
    supported = list(get_args(UploadPurpose))
    if value not in supported:
        shown = phrases.shorten(check_text(value, "purpose"))
        raise InvalidRequest(f"'{shown}' is not one of {supported} - 'purpose'", param="purpose")
    return cast(UploadPurpose, value)


def parse_expires_after(form: Mapping[str, str]) -> int | None:
    """Seconds of an upload's ``expires_after[anchor]`` and ``expires_after[seconds]`` fields."""
    anchor, seconds = form.get("expires_after[anchor]"), form.get("expires_after[seconds]")
    if anchor is None and seconds is None:
        return None
    if anchor is None:
        raise phrases.missing("expires_after.anchor")
    if anchor != "created_at":
        param = "expires_after.anchor"
        raise phrases.not_supported(param, check_text(anchor, param), ("created_at",))
    param = "expires_after.seconds"
    if seconds is None:
        raise phrases.missing(param)
    if not re.fullmatch(r"[0-9]{1,18}", seconds, re.ASCII):
        raise phrases.wrong_type(param, "an integer", seconds)
    value = int(seconds)
    if value > MAX_EXPIRY_SECONDS:
        raise phrases.out_of_range(param, MAX_EXPIRY_SECONDS, value, above=True)
    if value < MIN_EXPIRY_SECONDS:
        raise phrases.out_of_range(param, MIN_EXPIRY_SECONDS, value, above=False)
    return value
