"""Uploads in parts: objects and bodies."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from localassist.schemas.base import Body, Items, WireModel
from localassist.schemas.files import (
    MAX_EXPIRY_SECONDS,
    MIN_EXPIRY_SECONDS,
    File,
    UploadPurpose,
    base_name,
)

MAX_UPLOAD_BYTES = 8 * 2**30
MAX_PART_BYTES = 64 * 2**20

UploadStatus = Literal["pending", "completed", "cancelled", "expired"]


class FileExpiresAfter(Body):
    """When the file goes that comes of the upload."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=MIN_EXPIRY_SECONDS, le=MAX_EXPIRY_SECONDS)]


class UploadCreate(Body):
    """POST /uploads. ``bytes`` is the size of the whole file."""

    filename: Annotated[str, Field(min_length=1), AfterValidator(base_name)]
    purpose: UploadPurpose
    bytes: Annotated[int, Field(ge=1, le=MAX_UPLOAD_BYTES)]
    mime_type: str
    expires_after: FileExpiresAfter | None = None


class UploadComplete(Body):
    """POST /uploads/{id}/complete. ``part_ids`` in the order of the file, ``md5`` hexadecimal."""

    part_ids: Annotated[Items[str], Field(min_length=1)]
    md5: str | None = None


class Upload(WireModel):
    id: str
    object: Literal["upload"] = "upload"
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    status: UploadStatus
    file: File | None = None


class UploadPart(WireModel):
    id: str
    object: Literal["upload.part"] = "upload.part"
    created_at: int
    upload_id: str
