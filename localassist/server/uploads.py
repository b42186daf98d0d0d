"""A multipart upload, spooled to disk while it arrives.

The file part may come before the fields that describe it, so the bytes cannot be handed on before
the form has ended. Knows nothing of what files are kept for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from localassist.errors import InvalidRequest
from localassist.schemas.files import UploadPurpose, check_purpose, parse_expires_after

_CHUNK_BYTES = 2**18
_MAX_FIELDS = 16


@dataclass(frozen=True, slots=True)
class Upload:
    """A received file and what the form says about it."""

    filename: str
    purpose: UploadPurpose
    expires_after_seconds: int | None
    part: UploadFile

    async def chunks(self) -> AsyncIterator[bytes]:
        while chunk := await self.part.read(_CHUNK_BYTES):
            yield chunk


@asynccontextmanager
async def read_upload(request: Request) -> AsyncIterator[Upload]:
    """The form of ``POST /files``, checked. Its spool file is gone afterwards."""
    async with request.form(max_files=1, max_fields=_MAX_FIELDS) as form:
        yield _checked(form)


def _checked(form: FormData) -> Upload:
    part = form.get("file")
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    if not isinstance(part, UploadFile):
        raise InvalidRequest("'file' is a required property")
    if part.size == 0:
        raise InvalidRequest("File is empty.", param="file")
    purpose = check_purpose(fields.get("purpose"))
    return Upload(part.filename or "upload", purpose, parse_expires_after(fields), part)
